"""Problem documents (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from controller.model.errors import ControllerError
from controller.northbound.http.problem_types import type_of

PROBLEM = "application/problem+json"


class Problem(ControllerError):
    """An answer other than success; ``members`` stand in the document beside those of RFC 9457.

    ``code`` says to programs what it is, more finely than the status; without one it is the status' own name.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
        code: str | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code or code_of(status)
        self.headers = headers
        self.members = members


def code_of(status: HTTPStatus) -> str:
    """The status' name, as a code."""
    return status.name.lower()


def problem_document(problem: Problem, instance: str) -> bytes:
    """The document's bytes; ``instance`` is the path that was asked for (RFC 9457, 3.1.5)."""
    kind, title = type_of(problem.code, problem.status)
    document = {
        "type": kind,
        "title": title,
        "status": problem.status.value,
        "detail": str(problem),
        "code": problem.code,
        "instance": instance,
        **problem.members,
    }
    return json.dumps(document).encode() + b"\n"
