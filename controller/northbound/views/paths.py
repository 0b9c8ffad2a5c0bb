"""Paths as the API gives them: one form for all of them, working, backup or preferred, laid or planned.

A connection has the members of its working path itself; ``path``, the channels' ids, is a promised name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.model.connection import Connection, Reroute
from controller.model.latency import LatencyParts
from controller.model.moment import moment
from controller.model.path import Lane, Route
from controller.model.reroute import Cause
from controller.northbound.views.moments import MOMENT
from controller.northbound.views.schema_terms import (
    AMOUNT,
    COUNT,
    LEVEL,
    TEXT,
    TEXTS,
    list_of,
    map_of,
    object_of,
    or_null,
    ref,
)


@dataclass(frozen=True)
class Labels:
    """A label per channel and direction, in the path's order."""

    forward: tuple[int, ...]
    reverse: tuple[int, ...]


@dataclass(frozen=True)
class PathView:
    """One path: the ``path`` of channels from the connection's source on, the sites on it, and its key relay.

    ``labels`` is None where nothing is laid or planned on the path; ``client_ports`` has that of each hop, at both of
    its ends, where connections have circuits; ``key_sections`` counts how often the key relay crosses each QKD section.
    ``latency_parts`` sum to ``latency_ms``. Without a path all of it is empty, and the latency None.
    """

    path: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    latency_ms: float | None = None
    latency_parts: LatencyParts | None = None
    labels: Labels | None = None
    key_links: tuple[str, ...] = ()
    key_sections: tuple[tuple[str, int], ...] = ()
    client_ports: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        labels = self.labels
        return {
            "path": list(self.path),
            "sites": list(self.sites),
            "latency_ms": self.latency_ms,
            "latency_parts_us": None if self.latency_parts is None else vars(self.latency_parts),
            "labels": None if labels is None else {"forward": list(labels.forward), "reverse": list(labels.reverse)},
            "key_links": list(self.key_links),
            "key_sections": dict(self.key_sections),
            "client_ports": list(self.client_ports),
        }


PATH_MEMBERS: dict[str, Any] = {
    "path": TEXTS, "sites": TEXTS, "latency_ms": or_null(AMOUNT), "latency_parts_us": or_null(ref("LatencyParts")),
    "labels": or_null(ref("Labels")),
    "key_links": TEXTS, "key_sections": map_of(COUNT),
    "client_ports": list_of(COUNT),
}  # fmt: skip
PATH_SCHEMAS: dict[str, Any] = {
    "Labels": object_of({"forward": list_of(COUNT), "reverse": list_of(COUNT)}),
    "LatencyParts": object_of({"fibre": COUNT, "cards": COUNT, "switches": COUNT, "tunnel": COUNT}),
    "Path": object_of(PATH_MEMBERS),
    "Reroute": object_of(
        {
            "at": MOMENT, "old_path": TEXTS, "new_path": TEXTS, "classes": TEXTS, "key_source": TEXT,
            "level": LEVEL, "cause": {"enum": [c.value for c in Cause]},
            "old_key_links": TEXTS, "new_key_links": TEXTS,
        }
    ),
}  # fmt: skip


def path_view(way: Lane | Route | None) -> PathView:
    """A lane with its labels, or a route on which nothing is laid."""
    if way is None:
        return PathView()
    route, labels = (way, None) if isinstance(way, Route) else (way.route, Labels(way.forward, way.reverse))
    ports = () if isinstance(way, Route) else way.ports
    return PathView(
        route.channels, route.sites, route.latency_us / 1000, route.latency_parts, labels, route.key_links,
        route.key_sections, ports,
    )  # fmt: skip


def connection_paths(connection: Connection) -> dict[str, Any]:
    """The members of the working path, and beside them the backup path, None where there is none."""
    working, backup = (*connection.lanes, None, None)[:2]
    return path_view(working).to_json() | {"backup": None if backup is None else path_view(backup).to_json()}


def reroute_view(reroute: Reroute) -> dict[str, Any]:
    """The record of a move. Its paths are channels' ids alone: the rest of a path that was left is not kept."""
    return {
        "at": moment(reroute.at),
        "old_path": list(reroute.old_path),
        "new_path": list(reroute.new_path),
        "classes": list(reroute.classes),
        "key_source": reroute.key_source,
        "level": reroute.level,
        "cause": reroute.cause,
        "old_key_links": list(reroute.old_key_links),
        "new_key_links": list(reroute.new_key_links),
    }
