"""The northbound API: a WSGI application over the life cycle. Paths and codes are those of the contract.

Errors are problem documents (RFC 9457). Reads are open (the API listens on loopback), writes need the bearer token.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from controller import views
from controller.drivers import DriverError
from controller.events import Event, EventLog
from controller.lifecycle import InfeasibleRequest, Lifecycle, ProvisioningFailed
from controller.links import LinkMonitor
from controller.model import ControllerError
from controller.openapi import openapi_document
from controller.orchestrator import DuplicateSlice, SliceBusy, UnknownSlice
from controller.requests import InvalidRequest, check_against, parse_slice_request

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20
KEEPALIVE_S = 15.0

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True)
class Answer:
    """A whole answer; ``stream`` instead of ``body`` for events."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    stream: Iterator[bytes] | None = None


class Problem(ControllerError):
    """An answer other than success."""

    def __init__(self, status: HTTPStatus, detail: str, headers: tuple[tuple[str, str], ...] = (), **members: Any):
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.members = members


# What each of our errors is to a client, the first that matches.
STATUS_OF: tuple[tuple[type[ControllerError], HTTPStatus], ...] = (
    (UnknownSlice, HTTPStatus.NOT_FOUND),
    (DuplicateSlice, HTTPStatus.CONFLICT),
    (SliceBusy, HTTPStatus.CONFLICT),
    (InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InfeasibleRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ProvisioningFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (DriverError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ControllerError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


@dataclass(frozen=True)
class Request:
    """What the routes need of a WSGI environment."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Api:
    """The WSGI application."""

    def __init__(self, lifecycle: Lifecycle, links: LinkMonitor, events: EventLog, token: str) -> None:
        self._lifecycle = lifecycle
        self._links = links
        self._events = events
        self._token = token

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._route(self._read(environ))
        except Problem as problem:
            answer = _problem(problem.status, str(problem), problem.members, problem.headers)
        except ControllerError as error:
            answer = _problem_of(error)
        headers = [("Content-Type", answer.content_type), *answer.headers]
        if answer.stream is None:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        if answer.stream is not None:
            return answer.stream
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    # --- routes --------------------------------------------------------------------------------------------------

    def _route(self, request: Request) -> Answer:
        match request.path:
            case ("v1", "slices"):
                return self._by_method(request, GET=self._list, POST=self._create)
            case ("v1", "slices", name):
                return self._by_method(request, GET=lambda r: self._show(name), DELETE=lambda r: self._delete(name))
            case ("v1", "topology"):
                return self._by_method(request, GET=self._topology)
            case ("v1", "events"):
                return self._by_method(request, GET=self._follow)
            case ("v1", "healthz"):
                return self._by_method(request, GET=self._health)
            case ("metrics",):
                return self._by_method(request, GET=self._metrics)
            case ("openapi.json",):
                return self._by_method(request, GET=lambda r: _json(HTTPStatus.OK, openapi_document()))
        raise Problem(HTTPStatus.NOT_FOUND, f"there is nothing at /{'/'.join(request.path)}")

    def _by_method(self, request: Request, **handlers: Callable[[Request], Answer]) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        handler = handlers.get(method)
        if handler is None:
            allowed = ", ".join([*handlers, *(["HEAD"] if "GET" in handlers else [])])
            detail = f"{request.method} is not possible here; possible are {allowed}"
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers=(("Allow", allowed),))
        if method != "GET":
            self._authorise(request)
        return handler(request)

    def _authorise(self, request: Request) -> None:
        scheme, _, token = request.headers.get("AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token.encode()):
            challenge = (("WWW-Authenticate", 'Bearer realm="qslice"'),)
            raise Problem(HTTPStatus.UNAUTHORIZED, "writes need the bearer token", headers=challenge)

    def _list(self, request: Request) -> Answer:
        with self._lifecycle.lock:
            model = self._lifecycle.model
            slices = [views.slice_view(model, record) for record in model.slices.values()]
        return _json(HTTPStatus.OK, {"slices": slices})

    def _show(self, name: str) -> Answer:
        with self._lifecycle.lock:
            model = self._lifecycle.model
            return _json(HTTPStatus.OK, views.slice_view(model, model.slice(name)))

    def _create(self, request: Request) -> Answer:
        wanted = parse_slice_request(_parse_body(request))
        check_against(self._lifecycle.model.topology, wanted)
        if _flag(request, "dry_run"):
            return _json(HTTPStatus.OK, views.plan_view(self._lifecycle.plan(wanted)))
        record = self._lifecycle.create(wanted)
        with self._lifecycle.lock:
            view = views.slice_view(self._lifecycle.model, record)
        return _json(HTTPStatus.CREATED, view, headers=(("Location", f"/v1/slices/{record.name}"),))

    def _delete(self, name: str) -> Answer:
        record = self._lifecycle.delete(name)
        return _json(HTTPStatus.OK, views.slice_view(self._lifecycle.model, record))

    def _topology(self, request: Request) -> Answer:
        with self._lifecycle.lock:
            network = self._lifecycle.model.network
            view = views.topology_view(network, self._lifecycle.sections, self._links.faults)
        return _json(HTTPStatus.OK, view)

    def _health(self, request: Request) -> Answer:
        connected, expected = self._lifecycle.switch_count()
        return _json(HTTPStatus.OK, {"status": "ok", "switches_connected": connected, "switches": expected})

    def _metrics(self, request: Request) -> Answer:
        with self._lifecycle.lock:
            text = views.metrics_text(self._lifecycle.model, self._lifecycle.sections)
        return Answer(HTTPStatus.OK, text.encode(), "text/plain; version=0.0.4")

    def _follow(self, request: Request) -> Answer:
        last = request.headers.get("LAST_EVENT_ID")
        if last is not None and not last.isdecimal():
            raise Problem(HTTPStatus.BAD_REQUEST, "Last-Event-ID must be a whole number")
        headers = (("Cache-Control", "no-store"),)
        stream = self._stream(None if last is None else int(last))
        return Answer(HTTPStatus.OK, content_type="text/event-stream", headers=headers, stream=stream)

    def _stream(self, after_id: int | None) -> Iterator[bytes]:
        """Server-sent events (HTML Living Standard, 9.2), with a comment now and then to notice a reader who left."""
        follower = self._events.follow(after_id)
        try:
            yield b": following\n\n"
            while not follower.is_cut_off:
                event = follower.next(KEEPALIVE_S)
                yield b": still here\n\n" if event is None else _event_bytes(event)
        finally:
            self._events.unfollow(follower)

    # --- reading requests ----------------------------------------------------------------------------------------

    def _read(self, environ: Mapping[str, Any]) -> Request:
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
        except ValueError:
            raise Problem(HTTPStatus.BAD_REQUEST, "Content-Length is not a number") from None
        if length < 0:
            raise Problem(HTTPStatus.BAD_REQUEST, "Content-Length is negative")
        if length > MAX_BODY_BYTES:
            detail = f"a request has at most {MAX_BODY_BYTES} bytes"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=(("Connection", "close"),))
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise Problem(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length", headers=(("Connection", "close"),))
        raw_path = environ.get("RAW_PATH_INFO") or environ.get("PATH_INFO", "/")
        headers = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
        headers["CONTENT_TYPE"] = environ.get("CONTENT_TYPE") or ""
        return Request(
            method=environ["REQUEST_METHOD"],
            path=tuple(unquote(part) for part in raw_path.partition("?")[0].strip("/").split("/")),
            query=parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True),
            headers=headers,
            body=environ["wsgi.input"].read(length) if length else b"",
        )


def _parse_body(request: Request) -> Any:
    media_type = request.headers["CONTENT_TYPE"].partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {media_type or 'an unnamed type'}"
        )
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"malformed JSON: {error}") from None


def _flag(request: Request, name: str) -> bool:
    values = request.query.get(name, ["false"])
    if values[-1] not in ("true", "false"):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} must be true or false")
    return values[-1] == "true"


def _event_bytes(event: Event) -> bytes:
    data = json.dumps({"at": event.at, **event.data})
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _json(status: HTTPStatus, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, json.dumps(value).encode() + b"\n", headers=headers)


def _problem_of(error: ControllerError) -> Answer:
    status = next(status for kind, status in STATUS_OF if isinstance(error, kind))
    members: dict[str, Any] = {}
    if isinstance(error, InfeasibleRequest):
        members = views.infeasible_view(error.infeasible)
    elif isinstance(error, InvalidRequest):
        members = {"errors": [{"field": path, "message": what} for path, what in error.problems]}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("answered 503: %s", error)
    return _problem(status, str(error), members)


def _problem(
    status: HTTPStatus, detail: str, members: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    document = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **members}
    body = json.dumps(document).encode() + b"\n"
    return Answer(status, body, "application/problem+json", headers)
