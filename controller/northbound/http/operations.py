"""What an operation of the API is: declared once, obeyed by the router and written down in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from controller.northbound.http.auth import Role
from controller.northbound.http.messages import JSON, Answer, Request
from controller.northbound.http.problems import Problem

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class QueryParameter:
    """``kind`` is bool, int or str; numbers lie within ``least`` and ``most``, texts match ``pattern``."""

    name: str
    kind: type
    description: str
    default: Any = None
    least: int = 0
    most: int = 0
    pattern: str = ""

    @property
    def schema(self) -> Schema:
        if self.kind is bool:
            return {"type": "boolean"}
        if self.kind is int:
            return {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"type": "string", "pattern": self.pattern}

    def parse(self, text: str) -> Any:
        """The value in ``text``. Raises Problem that names the parameter."""
        if self.kind is bool:
            if text in ("true", "false"):
                return text == "true"
            raise bad_parameter(self.name, "must be true or false")
        if self.kind is int:
            is_number = re.fullmatch(r"[0-9]{1,9}", text) is not None
            if is_number and self.least <= int(text) <= self.most:
                return int(text)
            raise bad_parameter(self.name, f"must be a whole number from {self.least} to {self.most}")
        if re.fullmatch(self.pattern, text) is None:
            raise bad_parameter(self.name, f"must match {self.pattern}")
        return text


def bad_parameter(name: str, what: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {what}", errors=[{"field": name, "message": what}])


@dataclass(frozen=True)
class Reply:
    """One way in which an operation succeeds; ``schema`` names one of the document's, None for plain text.

    ``items`` names the schema of the data of each event in a stream. ``leads_to`` names operations on what was made,
    with the field of the answer that stands in their path.
    """

    status: int
    description: str
    schema: str | None = None
    media_type: str = JSON
    leads_to: tuple[tuple[str, str], ...] = ()
    items: str | None = None


@dataclass(frozen=True)
class Body:
    """What an operation takes."""

    schema: str
    media_types: tuple[str, ...] = (JSON,)


@dataclass(frozen=True)
class Operation:
    """One method on one path. ``problems`` are those of its own; what every operation can answer is added."""

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Request], Answer]
    replies: tuple[Reply, ...]
    problems: tuple[int, ...] = ()
    query: tuple[QueryParameter, ...] = ()
    body: Body | None = None
    role: Role = Role.ANYONE  # the least that may ask, whatever the configuration says
    is_public: bool = False  # open even where reads need a token
    is_conditional: bool = False  # honours If-Match or If-None-Match
    headers: tuple[str, ...] = ()  # further request headers it honours, by the names in the document's components

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def media_types(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(reply.media_type.partition(";")[0] for reply in self.replies))

    def parse_query(self, raw: Mapping[str, list[str]]) -> dict[str, Any]:
        """Every declared parameter with its value or default. Raises Problem for anything else."""
        known = {parameter.name: parameter for parameter in self.query}
        values = {name: parameter.default for name, parameter in known.items()}
        for name, texts in raw.items():
            if name not in known:
                possible = ", ".join(known) or "none"
                raise bad_parameter(name, f"is no query parameter of this operation (there are: {possible})")
            if len(texts) > 1:
                raise bad_parameter(name, "is named twice")
            values[name] = known[name].parse(texts[0])
        return values
