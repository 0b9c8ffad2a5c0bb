"""What several exercises look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.automation.testbed import Testbed
from scripts.errors import WrongRequest
from scripts.measure.slices import refusal
from topologies.spec import SecurityClass


def level_of(source: str) -> SecurityClass:
    """The class of a level or a key source; a hybrid such as ``qkd+qra`` is as strong as its strongest part."""
    return max(SecurityClass.parse(part) for part in source.split("+"))


def raw_slice(testbed: Testbed, name: str) -> Mapping[str, Any] | None:
    """The API's view of a slice; None where there is none. Raises ApiRefusal."""
    status, body = testbed.system.api("GET", f"/v1/slices/{name}")
    if status == 404:
        return None
    if status != 200:
        raise refusal(f"reading slice {name}", status, body)
    found: Mapping[str, Any] = body
    return found


def number_in(answers: Mapping[str, str], name: str) -> float:
    """WrongRequest where the answer is no number."""
    try:
        return float(answers[name])
    except ValueError:
        raise WrongRequest(f"{name}: {answers[name]!r} is no number") from None
