"""How closely each channel is watched for silent failures: as closely as what it carries needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from controller.model.connection import Connection
from controller.model.request import Protection
from topologies.spec import Topology


@dataclass(frozen=True)
class Pace:
    """A BFD session's: a failure is ``multiplier`` intervals without a packet (RFC 5880, 6.8.4)."""

    interval_ms: int
    multiplier: int

    @property
    def detection_ms(self) -> int:
        return self.interval_ms * self.multiplier

    def slowed(self, by: int) -> Pace:
        """The same with so many times fewer packets."""
        return replace(self, interval_ms=max(self.interval_ms, min(self.interval_ms * by, SLOWEST_MS)))


# The usual multiplier of 3 is too little where all switches share a few cores with everything else: sessions would
# end whenever Open vSwitch is not run for 15 ms.
# Each packet of a session wakes Open vSwitch: a hundred idle channels watched closely cost half a core, and time.
IDLE = Pace(500, 3)
SLOWEST_MS = 2000
HASTEN_AFTER_S = 1.0
RELAX_AFTER_S = 30.0
PACES = {
    Protection.NONE: IDLE,
    Protection.RESTORATION: Pace(100, 5),  # the rest takes longer anyway
    Protection.ONE_PLUS_ONE: Pace(20, 6),  # loses nothing meanwhile, and needs to know only to get a new second way
    Protection.ONE_TO_ONE: Pace(5, 8),  # the backup as well: it may be the working way the next moment
}


def wanted_paces(topology: Topology, connections: Iterable[Connection], slowdown: int = 1) -> dict[str, Pace]:
    """Pace by interface, for both ends of every channel; ``slowdown`` times slower where the switches starve."""
    by_channel = dict.fromkeys((c.id for c in topology.channels), IDLE)
    for connection in connections:
        pace = PACES[connection.request.spec.protection]
        for lane in connection.lanes:
            for channel in lane.route.channels:
                by_channel[channel] = min(by_channel[channel], pace, key=lambda p: p.detection_ms)
    return {
        port.interface: by_channel[port.channel].slowed(slowdown)
        for site in topology.site_names
        for port in topology.ports(site)
        if port.channel is not None
    }


class WatchPlan:
    """What to tell, and when: Open vSwitch forwards nothing for some ten milliseconds while it takes on a new pace.

    So a change is told when it has been wanted for a while: not in the midst of a failure, and not to and fro.
    """

    def __init__(self) -> None:
        self._told: dict[str, Pace] = {}
        self._wanted: dict[str, tuple[Pace, float]] = {}  # and since when

    def changes(self, wanted: Mapping[str, Pace], now: float, *, is_starving: bool = False) -> dict[str, Pace]:
        """What is to be told by ``now`` (seconds, any steady clock); tell it, then call :meth:`told`.

        Where the switches starve, a slower pace is what helps, and does not wait.
        """
        due = {}
        for name, pace in wanted.items():
            if name not in self._wanted or self._wanted[name][0] != pace:
                self._wanted[name] = (pace, now)
            told = self._told.get(name)
            if told == pace:
                continue
            is_slower = told is not None and told.detection_ms < pace.detection_ms
            patience_s = RELAX_AFTER_S if is_slower and not is_starving else HASTEN_AFTER_S
            if now - self._wanted[name][1] >= patience_s:
                due[name] = pace
        return due

    def forget(self, names: Iterable[str]) -> None:
        """Tell these again: their switch has been away, and may have started anew."""
        for name in names:
            self._told.pop(name, None)

    def told(self, changes: Mapping[str, Pace]) -> None:
        self._told |= changes
