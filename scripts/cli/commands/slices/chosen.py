"""Connections that SLICE or SLICE/CONNECTION names, on this machine's network."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from scripts.cli.commands.slices.reading import path_of
from scripts.cli.problems import raise_problem
from scripts.errors import WrongRequest
from scripts.measure.connection import Connection, connections_of
from scripts.testbed.running_system import RunningSystem

PLACE = "SLICE[/CONNECTION]"


def chosen_connections(system: RunningSystem, name: str) -> tuple[tuple[Connection, dict[str, Any]], ...]:
    """Each with its view. Raises WrongRequest where there is none of that name."""
    slice_name, slash, wanted = name.partition("/")
    if not slice_name or (slash and not wanted):
        raise WrongRequest(f"{PLACE}: {name!r} names no slice")
    status, body = system.api("GET", path_of(slice_name))
    if status != HTTPStatus.OK:
        raise_problem(status, body)
    views = {view["name"]: view for view in body["connections"]}
    found = [each for each in connections_of(body, body["request"]) if wanted in ("", each.name)]
    if not found:
        there = ", ".join(views) or "none: it has not been set up"
        raise WrongRequest(f"{PLACE}: slice {slice_name} has no connection {wanted!r}; there are {there}")
    return tuple((each, views[each.name]) for each in found)
