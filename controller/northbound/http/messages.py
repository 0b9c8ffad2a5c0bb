"""Requests and answers as the handlers see them, and how a request is read from a WSGI environment (PEP 3333)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from controller.northbound.http.problems import Problem

MAX_BODY_BYTES = 1 << 20

JSON = "application/json"
YANG_JSON = "application/yang-data+json"  # RFC 8040, 11.3.2
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396
EVENT_STREAM = "text/event-stream"
PROMETHEUS = "text/plain; version=0.0.4"

Headers = tuple[tuple[str, str], ...]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

CLOSE: Headers = (("Connection", "close"),)


@dataclass(frozen=True)
class Answer:
    """A whole answer; ``stream`` instead of ``body`` for events."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = ()
    stream: Iterator[bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Request:
    """What a handler is given: everything is checked against the operation's declaration."""

    method: str
    path: str
    parameters: Mapping[str, str]  # from the path
    query: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body's value. Raises Problem."""
        return parse_json(self.body)


@dataclass(frozen=True)
class Envelope:
    """What can be known of a request before its body is read."""

    method: str
    path: str
    segments: tuple[str, ...]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str] = field(repr=False)

    @property
    def media_type(self) -> str:
        return self.headers.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()


def read_envelope(environ: Mapping[str, Any]) -> Envelope:
    """Method, path, query and headers of a WSGI environment. Raises Problem."""
    raw_path = str(environ.get("RAW_PATH_INFO") or environ.get("PATH_INFO", "/")).partition("?")[0]
    headers = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
    headers["CONTENT_TYPE"] = environ.get("CONTENT_TYPE") or ""
    try:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, max_num_fields=64)
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "there are more than 64 query parameters") from None
    return Envelope(
        method=environ["REQUEST_METHOD"],
        path=raw_path,
        segments=tuple(unquote(part) for part in raw_path.strip("/").split("/")),
        query=query,
        headers=headers,
    )


def body_length(environ: Mapping[str, Any]) -> int:
    """How long the body says it is. Raises Problem when that is no number, too much, or not said."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        raise Problem(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length", headers=CLOSE)
    text = str(environ.get("CONTENT_LENGTH") or "0").strip()
    if not (text.isascii() and text.isdecimal()):
        raise Problem(HTTPStatus.BAD_REQUEST, "Content-Length is not a number of bytes", headers=CLOSE)
    if len(text) > 18 or int(text) > MAX_BODY_BYTES:
        detail = f"a request has at most {MAX_BODY_BYTES} bytes"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=CLOSE)
    return int(text)


def read_body(environ: Mapping[str, Any]) -> bytes:
    """The body, whole. Raises Problem when it is too long, cut short or too slow."""
    length = body_length(environ)
    if not length:
        return b""
    try:
        body: bytes = environ["wsgi.input"].read(length)
    except TimeoutError:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time", headers=CLOSE) from None
    if len(body) < length:
        detail = f"the body ended after {len(body)} of {length} bytes"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, headers=CLOSE)
    return body


class _Twice(dict[str, Any]):
    """An object in which ``keys_twice`` stand more than once."""

    keys_twice: tuple[str, ...] = ()


def parse_json(body: bytes) -> Any:
    """JSON in the sense of RFC 7493: an object that names a member twice is refused, with the member's path.

    A number beyond what a double holds becomes infinite, as NaN stays NaN: no field accepts either, and whoever
    checks the field can name it. Raises Problem.
    """
    has_twice = False

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_twice
        value = _Twice(pairs)
        if len(value) == len(pairs):
            return dict(value)
        keys = [key for key, _ in pairs]
        value.keys_twice = tuple(sorted({k for k in keys if keys.count(k) > 1}))
        has_twice = True
        return value

    try:
        parsed = json.loads(body, object_pairs_hook=make, parse_int=_parse_int)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"malformed JSON: {error}") from None
    if has_twice:
        errors = [{"field": path, "message": "is named twice"} for path in _paths_named_twice(parsed)]
        detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
        raise Problem(HTTPStatus.BAD_REQUEST, detail, errors=errors)
    return parsed


def _parse_int(text: str) -> int | float:
    return int(text) if len(text) <= 19 else float(text)


def _paths_named_twice(value: Any, path: str = "") -> Iterator[str]:
    prefix = f"{path}." if path else ""
    if isinstance(value, _Twice):
        yield from (prefix + key for key in value.keys_twice)
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _paths_named_twice(child, prefix + key)
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _paths_named_twice(child, f"{prefix}{i}")


def json_answer(status: HTTPStatus, value: Any, headers: Headers = (), content_type: str = JSON) -> Answer:
    return Answer(status, json.dumps(value).encode() + b"\n", content_type, headers)
