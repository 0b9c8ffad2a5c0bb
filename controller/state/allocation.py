"""What a slice being modified keeps of its old form, and which way a connection is to return to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.model.connection import Connection
from controller.model.path import Lane, Route


@dataclass(frozen=True)
class Retained:
    """What a slice being modified keeps of its old form: reservations by owner, lanes, connections about to leave."""

    owners: tuple[str, ...]
    compute_owner: str | None
    lanes: Mapping[str, tuple[Lane, ...]]
    leaving: tuple[str, ...]


def _preferred(connection: Connection, lanes: tuple[Lane, ...]) -> Route | None:
    """The way to return to once the connection has ``lanes``: the first that it had, until it is on it again."""
    if connection.request.spec.revert_after_s is None:
        return None
    original = connection.preferred or connection.route
    is_back = bool(lanes) and original is not None and lanes[0].route.channels == original.channels
    return None if is_back else original
