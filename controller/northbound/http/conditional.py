"""Entity tags (RFC 9110, 8.8.3): whether a client's copy is still what there is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from controller.northbound.http.messages import Answer
from controller.northbound.http.problems import Problem


def etag_of(answer: Answer) -> str:
    """A strong tag: it changes with every byte of the representation."""
    return f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'


def with_etag(answer: Answer, headers: Mapping[str, str]) -> Answer:
    """The answer with its tag, or 304 when the client has it already (RFC 9110, 13.1.2)."""
    if answer.status is not HTTPStatus.OK or answer.stream is not None:
        return answer
    tag = etag_of(answer)
    tagged = (*answer.headers, ("ETag", tag))
    if _names(headers.get("IF_NONE_MATCH", ""), tag, is_weak=True):
        return Answer(HTTPStatus.NOT_MODIFIED, b"", answer.content_type, tagged)
    return replace(answer, headers=tagged)


def check_match(current: Answer, headers: Mapping[str, str]) -> None:
    """Raise Problem 412 when If-Match names another state than the current one (RFC 9110, 13.1.1)."""
    wanted = headers.get("IF_MATCH")
    if wanted is not None and not _names(wanted, etag_of(current), is_weak=False):
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED, "If-Match: it has changed since; read it anew",
            headers=(("ETag", etag_of(current)),),
        )  # fmt: skip


def _names(header: str, tag: str, is_weak: bool) -> bool:
    tags = [part.strip() for part in header.split(",")]
    if is_weak:
        tags = [t.removeprefix("W/") for t in tags]
    return "*" in tags or tag in tags
