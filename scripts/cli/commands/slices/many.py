"""``slice create`` of a file with many requests: each is tried, and what was refused is told at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.console.output import print_json, say
from scripts.errors import CommandError, DidNotHold, WrongRequest


def requests_in(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The requests under ``slices``; None where the document is one request. WrongRequest where they are none."""
    if "slices" not in document:
        return None
    requests = document["slices"]
    others = [key for key in document if key != "slices"]
    if others:
        raise WrongRequest(f"FILE: {others[0]}: beside `slices` there is nothing else")
    if not isinstance(requests, list) or not requests or not all(isinstance(each, dict) for each in requests):
        raise WrongRequest("FILE: slices: a list of slice requests")
    return requests


def create_each(
    requests: list[dict[str, Any]], create: Callable[[dict[str, Any]], dict[str, Any]], *, is_dry: bool, as_json: bool
) -> int:
    """Create, or plan, one after the other; 0 if all came about. ``create`` raises CommandError."""
    made: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for request in requests:
        name = str(request.get("name"))
        try:
            body = create(request)
        except CommandError as error:
            problem = {} if error.problem is None else {"problem": error.problem}
            refused.append({"name": name, "error": str(error), **problem})
            if not as_json:
                say(f"{name}: {error}")
            continue
        made.append(body)
        if not as_json:
            says = "would fit" if is_dry else f"is {body['state']}"
            say(f"{name} {says}, {len(body['connections'])} connections")
    if as_json:
        print_json({"slices": made, "refused": refused})
    else:
        connections = sum(len(body["connections"]) for body in made)
        each = " (each planned alone)" if is_dry else ""
        say(f"{len(made)} of {len(requests)} slices, {connections} connections{each}")
    return DidNotHold.exit_status if refused else 0
