"""From a request to its operation: paths, methods and media types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from controller.northbound.http.messages import Envelope
from controller.northbound.http.operations import Operation
from controller.northbound.http.problems import Problem
from controller.northbound.http.targets import ASTERISK


class Router:
    """Finds operations by path and method."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._by_path: dict[tuple[str, ...], dict[str, Operation]] = {}
        for operation in self.operations:
            segments = tuple(operation.path.strip("/").split("/"))
            self._by_path.setdefault(segments, {})[operation.method] = operation

    def find(self, envelope: Envelope) -> tuple[Operation, Mapping[str, str]]:
        """The operation asked for and the parameters in its path. Raises Problem (404, 405)."""
        methods, parameters = self._at(envelope)
        operation = methods.get("GET" if envelope.method == "HEAD" else envelope.method)
        if operation is None:
            allowed = allowed_methods(methods)
            detail = f"{envelope.method} is not possible here; possible are {allowed}"
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers=(("Allow", allowed),))
        return operation, parameters

    def reading(self, operation: Operation) -> Operation:
        """The operation that reads what ``operation`` writes."""
        return next(o for o in self.operations if o.path == operation.path and o.method == "GET")

    def options(self, envelope: Envelope) -> str:
        """The methods possible at a path, or of ``*`` anywhere, as an Allow header has them. Raises Problem (404)."""
        if envelope.path == ASTERISK:
            return allowed_methods({operation.method: operation for operation in self.operations})
        return allowed_methods(self._at(envelope)[0])

    def _at(self, envelope: Envelope) -> tuple[Mapping[str, Operation], Mapping[str, str]]:
        for pattern, methods in self._by_path.items():
            parameters = _match(pattern, envelope.segments)
            if parameters is not None:
                return methods, parameters
        raise Problem(HTTPStatus.NOT_FOUND, f"there is nothing at {envelope.path}")


def allowed_methods(methods: Mapping[str, Operation]) -> str:
    possible = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(possible))


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters = {}
    for part, segment in zip(pattern, segments, strict=True):
        if part.startswith("{"):
            if not segment:
                return None
            parameters[part[1:-1]] = segment
        elif part != segment:
            return None
    return parameters


def check_acceptable(operation: Operation, accept: str | None) -> None:
    """Raise Problem 406 when the client takes none of what the operation gives (RFC 9110, 12.5.1)."""
    if not accept or not operation.media_types:
        return
    wanted = [_media_range(part) for part in accept.split(",")]
    for media_type in operation.media_types:
        # The most specific range that fits decides.
        fitting = [(specific, quality) for name, specific, quality in wanted if _covers(name, media_type)]
        if fitting and max(fitting)[1] > 0:
            return
    offered = ", ".join(operation.media_types)
    raise Problem(
        HTTPStatus.NOT_ACCEPTABLE, f"this is available as {offered} only", offered=list(operation.media_types)
    )


def _media_range(text: str) -> tuple[str, int, float]:
    """Name, how specific it is, and its weight; what cannot be read as a weight counts as 1."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 1.0
    specific = 0 if name in ("*/*", "*") else 1 if name.endswith("/*") else 2
    return name, specific, quality


def _covers(media_range: str, media_type: str) -> bool:
    if media_range in ("*/*", "*", media_type):
        return True
    return media_range.endswith("/*") and media_type.startswith(media_range[:-1])


def check_media_type(operation: Operation, envelope: Envelope) -> None:
    """Raise Problem 415 when the body is of a kind that the operation does not take (RFC 9110, 15.5.16)."""
    if operation.body is None or envelope.media_type in operation.body.media_types:
        return
    taken = ", ".join(operation.body.media_types)
    detail = f"send {taken}, not {envelope.media_type or 'an unnamed type'}"
    raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers=(("Accept", taken),))
