"""The WSGI application: each request is checked against its operation's declaration, then handled.

In this order: path (404), method (405), token (401, 403), what the client takes (406), query (422), what it sends
(415), how much (411, 413), what it sends arriving (400, 408), preconditions (412); the body's meaning is the handler's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from controller.model.errors import ControllerError
from controller.monitoring.link_state import LinkMonitor
from controller.northbound.handlers.network import NetworkHandlers
from controller.northbound.handlers.news import EventHandlers
from controller.northbound.handlers.reservations import ReservationHandlers
from controller.northbound.handlers.service import ServiceHandlers
from controller.northbound.handlers.slices import SliceHandlers
from controller.northbound.handlers.traces import TraceHandlers
from controller.northbound.http.auth import Role, Tokens, authorise
from controller.northbound.http.conditional import check_match, with_etag
from controller.northbound.http.idempotency import IdempotencyKeys, fingerprint_of
from controller.northbound.http.messages import (
    CLOSE,
    Answer,
    Envelope,
    Request,
    StartResponse,
    read_body,
    read_envelope,
)
from controller.northbound.http.operations import Operation
from controller.northbound.http.problems import PROBLEM, Problem, problem_document
from controller.northbound.http.router import Router, check_acceptable, check_media_type
from controller.northbound.metrics import Telemetry
from controller.northbound.refusals import problem_of
from controller.northbound.views.document import openapi_document
from controller.operations.event_log import EventLog
from controller.operations.slices.slice_service import SliceService

log = logging.getLogger(__name__)

UNMATCHED = "none"  # the operation of a request that asks for nothing there is
SAFE_HEADERS = (("X-Content-Type-Options", "nosniff"),)


@dataclass(frozen=True)
class Settings:
    """How the API is run."""

    require_token_for_reads: bool = False
    """Reads, too, need a token: the viewer's or the operator's."""


class Api:
    """The WSGI application."""

    def __init__(
        self,
        slices: SliceService,
        links: LinkMonitor,
        events: EventLog,
        tokens: Tokens,
        settings: Settings | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._settings = settings or Settings()
        self._steady = steady
        self._telemetry = Telemetry()
        self._keys = IdempotencyKeys()
        self.router = Router(
            [
                *SliceHandlers(slices).operations(),
                *ReservationHandlers(slices).operations(),
                *TraceHandlers(slices).operations(),
                *NetworkHandlers(slices, links).operations(),
                *EventHandlers(events).operations(),
                *ServiceHandlers(slices, events, self._telemetry, self.document).operations(),
            ]
        )
        self._document = openapi_document(self.router.operations, self._role_needed, slices.model.topology)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return self._document

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = self._steady()
        name = UNMATCHED
        try:
            envelope = read_envelope(environ)
            if envelope.method == "OPTIONS":
                answer = Answer(HTTPStatus.NO_CONTENT, headers=(("Allow", self.router.options(envelope)),))
            else:
                operation, parameters = self.router.find(envelope)
                name = operation.name
                answer = self._answer(operation, parameters, envelope, environ)
        except ControllerError as error:
            answer = _problem_answer(problem_of(error), environ)
        except Exception:  # the outermost edge: our own mistake is a 500 and a traceback in the log
            log.exception("answered 500")
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = _problem_answer(Problem(status, "a mistake of the controller's; its log has it"), environ)
        self._telemetry.record(name, answer.status.value, self._steady() - began)
        return _send(answer, environ, start_response)

    def _answer(
        self, operation: Operation, parameters: Mapping[str, str], envelope: Envelope, environ: Mapping[str, Any]
    ) -> Answer:
        authorise(self._tokens, envelope.headers, self._role_needed(operation))
        check_acceptable(operation, envelope.headers.get("ACCEPT"))
        query = operation.parse_query(envelope.query)
        check_media_type(operation, envelope)
        body = read_body(environ) if operation.body is not None else _no_body(environ)
        request = Request(envelope.method, envelope.path, parameters, query, envelope.headers, body)
        if not operation.is_write:
            answer = operation.handler(request)
            return with_etag(answer, envelope.headers) if operation.is_conditional else answer
        key = envelope.headers.get("IDEMPOTENCY_KEY")
        if key is None or "IdempotencyKey" not in operation.headers:
            return self._write(operation, request)
        target = f"{envelope.path}?{environ.get('QUERY_STRING', '')}"
        known = self._keys.begin(key, fingerprint_of(request.method, target, body), self._steady())
        if known is not None:
            return known
        done: Answer | None = None
        try:
            done = self._write(operation, request)
        finally:
            self._keys.end(key, done)
        return done

    def _write(self, operation: Operation, request: Request) -> Answer:
        if operation.is_conditional and "IF_MATCH" in request.headers:
            reading = self.router.reading(operation)
            check_match(reading.handler(request), request.headers)
        return operation.handler(request)

    def _role_needed(self, operation: Operation) -> Role:
        if operation.is_public or not self._settings.require_token_for_reads:
            return operation.role
        return max(operation.role, Role.VIEWER)


def _no_body(environ: Mapping[str, Any]) -> bytes:
    """Of an operation that takes none: whatever was sent is read, so that the next request is found behind it."""
    read_body(environ)
    return b""


def _problem_answer(problem: Problem, environ: Mapping[str, Any]) -> Answer:
    if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("answered 503: %s", problem)
    path = str(environ.get("RAW_PATH_INFO") or environ.get("PATH_INFO", "/"))
    body = problem_document(problem, path)
    headers = problem.headers
    if _may_have_unread_body(environ, problem.status) and CLOSE[0] not in headers:
        headers = (*headers, *CLOSE)
    return Answer(problem.status, body, PROBLEM, headers)


def _may_have_unread_body(environ: Mapping[str, Any], status: HTTPStatus) -> bool:
    """Refused before the body was read: rather than read it after all, end the connection."""
    early = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    has_body = str(environ.get("CONTENT_LENGTH") or "0") != "0"
    return has_body and status in (*early, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _send(answer: Answer, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    headers = [*answer.headers, *SAFE_HEADERS]
    has_no_content = answer.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    if not has_no_content:
        headers.insert(0, ("Content-Type", answer.content_type))
    if answer.stream is None and not has_no_content:
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(f"{answer.status.value} {answer.status.phrase}", headers)
    if answer.stream is not None:
        return answer.stream
    return [] if environ["REQUEST_METHOD"] == "HEAD" or has_no_content else [answer.body]
