"""Problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from controller.model.errors import ControllerError

PROBLEM = "application/problem+json"


class Problem(ControllerError):
    """An answer other than success; ``members`` stand in the document beside those of RFC 9457."""

    def __init__(self, status: HTTPStatus, detail: str, headers: tuple[tuple[str, str], ...] = (), **members: Any):
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.members = members


def problem_document(status: HTTPStatus, detail: str, instance: str, members: Mapping[str, Any]) -> bytes:
    """The document's bytes; ``instance`` is the path that was asked for (RFC 9457, 3.1.5)."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": instance,
        **members,
    }
    return json.dumps(document).encode() + b"\n"
