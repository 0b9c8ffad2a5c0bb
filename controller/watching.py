"""How closely each channel is watched for silent failures: as closely as what it carries needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model import Protection
from controller.records import Connection
from topologies.spec import Topology

IDLE_MS = 100
# A silent failure counts as one after three intervals. A 1+1 connection loses nothing meanwhile, and needs to know
# only to get a new second way; for restoration the rest takes longer anyway.
INTERVALS_MS = {
    Protection.NONE: IDLE_MS,
    Protection.RESTORATION: IDLE_MS,
    Protection.ONE_PLUS_ONE: 20,
    Protection.ONE_TO_ONE: 5,
}


def wanted_intervals(topology: Topology, connections: Iterable[Connection]) -> dict[str, int]:
    """BFD interval by interface, for both ends of every channel."""
    by_channel = dict.fromkeys((c.id for c in topology.channels), IDLE_MS)
    for connection in connections:
        interval = INTERVALS_MS[connection.request.spec.protection]
        for lane in connection.lanes:
            for channel in lane.route.channels:
                by_channel[channel] = min(by_channel[channel], interval)
    return {
        port.interface: by_channel[port.channel]
        for site in topology.site_names
        for port in topology.ports(site)
        if port.channel is not None
    }


class WatchPlan:
    """Remembers what was asked for last, so that only changes are told."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def changes(self, wanted: dict[str, int]) -> dict[str, int]:
        """What differs from what has been told; tell it, then call :meth:`told`."""
        return {name: interval for name, interval in wanted.items() if self._told.get(name) != interval}

    def forget(self, names: Iterable[str]) -> None:
        """Tell these again: their switch has been away, and may have started anew."""
        for name in names:
            self._told.pop(name, None)

    def told(self, changes: dict[str, int]) -> None:
        self._told |= changes
