"""How closely each channel is watched for silent failures: as closely as what it carries needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.model import Protection
from controller.records import Connection
from topologies.spec import Topology


@dataclass(frozen=True)
class Pace:
    """A BFD session's: a failure is ``multiplier`` intervals without a packet (RFC 5880, 6.8.4)."""

    interval_ms: int
    multiplier: int

    @property
    def detection_ms(self) -> int:
        return self.interval_ms * self.multiplier


# The usual multiplier of 3 is too little where all switches share a few cores with everything else: sessions would
# end whenever Open vSwitch is not run for 15 ms.
IDLE = Pace(100, 5)
BACKUP = Pace(20, 6)
WORKING = {
    Protection.NONE: IDLE,
    Protection.RESTORATION: IDLE,  # the rest takes longer anyway
    Protection.ONE_PLUS_ONE: BACKUP,  # loses nothing meanwhile, and needs to know only to get a new second way
    Protection.ONE_TO_ONE: Pace(5, 8),
}


def wanted_paces(topology: Topology, connections: Iterable[Connection]) -> dict[str, Pace]:
    """Pace by interface, for both ends of every channel."""
    by_channel = dict.fromkeys((c.id for c in topology.channels), IDLE)
    for connection in connections:
        for position, lane in enumerate(connection.lanes):
            pace = BACKUP if position else WORKING[connection.request.spec.protection]
            for channel in lane.route.channels:
                by_channel[channel] = min(by_channel[channel], pace, key=lambda p: p.detection_ms)
    return {
        port.interface: by_channel[port.channel]
        for site in topology.site_names
        for port in topology.ports(site)
        if port.channel is not None
    }


class WatchPlan:
    """Remembers what was asked for last, so that only changes are told."""

    def __init__(self) -> None:
        self._told: dict[str, Pace] = {}

    def changes(self, wanted: Mapping[str, Pace]) -> dict[str, Pace]:
        """What differs from what has been told; tell it, then call :meth:`told`."""
        return {name: pace for name, pace in wanted.items() if self._told.get(name) != pace}

    def forget(self, names: Iterable[str]) -> None:
        """Tell these again: their switch has been away, and may have started anew."""
        for name in names:
            self._told.pop(name, None)

    def told(self, changes: Mapping[str, Pace]) -> None:
        self._told |= changes
