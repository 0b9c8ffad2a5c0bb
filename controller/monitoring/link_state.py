"""Which channels work, from what the switches at both their ends report, and the kernel where it is theirs.

Down counts at once; up counts when both ends have been up for the hold-down time, so that a flapping channel moves
traffic once and not at every flap. An end that nobody has reported on is taken to be up: after a controller restart
traffic keeps its ways until a switch says otherwise.

Where the switches' ports are this machine's interfaces, the kernel tells of carrier before they do, and an end works
when neither of the two denies it: so neither's older word takes back the other's newer one.

Silence (BFD, with carrier) is believed, unless it comes from everywhere at once: see
:mod:`controller.monitoring.alarm_suppression`.

A dark channel's ports are held down on purpose: what they report is no failure. While it is being lit they are watched,
and from when it is declared lit the channel is like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.monitoring.alarm_suppression import Starvation
from topologies.spec import Port, Topology

HOLD_DOWN_S = 1.0


@dataclass(frozen=True)
class PortReport:
    """What a switch says about one of its ports."""

    number: int
    name: str
    is_live: bool
    has_carrier: bool = False
    """True where only the watch over the far end (BFD) takes ``is_live`` away: packets may pass all the same."""
    is_held_down: bool = False  # by OFPPC_PORT_DOWN
    mac: str = ""


class LinkMonitor:
    """States of all channels; every method is told the time (seconds, any steady clock) and returns what changed."""

    def __init__(self, topology: Topology, hold_down_s: float = HOLD_DOWN_S) -> None:
        self._hold_down_s = hold_down_s
        self._topology = topology
        self._ports: dict[str, tuple[Port, ...]] = {site: topology.ports(site) for site in topology.site_names}
        self._by_number = {(p.site, p.number): p for ports in self._ports.values() for p in ports}
        self._by_interface = {p.interface: p for ports in self._ports.values() for p in ports}
        self._dead_ends: dict[str, set[str]] = {c.id: set() for c in topology.channels}
        self._unplugged: dict[str, set[str]] = {c.id: set() for c in topology.channels}  # ends, by the kernel's word
        self._is_up: dict[str, bool] = {c.id: True for c in topology.channels}
        self._up_since: dict[str, float] = {}  # both ends up, waiting for the hold-down to pass
        self._rising: set[str] = set()  # being lit
        self._dark: set[str] = {c.id for c in topology.channels if c.dark}
        self._announced_at: dict[tuple[str, int], float] = {}
        self._without_carrier: dict[str, set[str]] = {c.id: set() for c in topology.channels}  # those without carrier
        self._starvation = Starvation()
        self._believed: set[str] = set()  # silent since before a starvation: those are failures all the same
        self.faults: dict[str, str] = {}  # "site port" -> what the inventory check found

    def is_up(self, channel_id: str) -> bool:
        return self._is_up[channel_id]

    @property
    def silent(self) -> frozenset[str]:
        """Channels that are down although there is carrier at both ends."""
        return frozenset(c for c, is_up in self._is_up.items() if not is_up and self._has_carrier(c))

    @property
    def is_starving(self) -> bool:
        """Whether channels have fallen silent in a way that no failure explains: silence is not believed."""
        return self._starvation.is_on

    @property
    def slowdown(self) -> int:
        """By how much less often channels had better be watched."""
        return self._starvation.slowdown

    # --- spares ----------------------------------------------------------------------------------------------------

    def begin_activation(self, channel_id: str) -> None:
        """A dark channel's ports are being raised: from now on what they report counts, see :meth:`is_activated`."""
        self._rising.add(channel_id)
        self._dead_ends[channel_id] = set(self._topology.channel(channel_id).ends)
        self._without_carrier[channel_id] = set(self._topology.channel(channel_id).ends)

    def is_activated(self, channel_id: str) -> bool:
        """Whether both ends of a channel that is being lit have come up."""
        return self._works(channel_id)

    def set_lit(self, channel_id: str) -> None:
        """The channel has been tried and is in use."""
        self._dark.discard(channel_id)
        self._rising.discard(channel_id)
        self._is_up[channel_id] = self._works(channel_id)

    def set_dark(self, channel_id: str) -> None:
        self._dark.add(channel_id)
        self._rising.discard(channel_id)
        self._up_since.pop(channel_id, None)
        self._is_up[channel_id] = True

    def unexpectedly_up(self, site: str, reports: Mapping[int, PortReport]) -> tuple[str, ...]:
        """Dark channels whose port at ``site`` is not held down, as after the switch has started anew."""
        return tuple(
            port.channel
            for port in self._ports[site]
            if port.channel in self._dark - self._rising
            and (found := reports.get(port.number)) is not None
            and found.name == port.interface
            and not found.is_held_down
        )

    # --- reports ---------------------------------------------------------------------------------------------------

    def inventory(
        self, site: str, reports: Mapping[int, PortReport], now: float, asked_at: float | None = None
    ) -> dict[str, bool]:
        """A switch's full list of ports, checked against the topology: what is missing or misplaced is down.

        A port that has announced itself since the list was asked for (``asked_at``) is as it said: the answer may have
        been given before, and be looked at afterwards. The next list settles it.
        """
        changed: dict[str, bool] = {}
        asked = now if asked_at is None else asked_at
        for port in self._ports[site]:
            found = reports.get(port.number)
            fault = None
            if found is None:
                fault = f"no port {port.number} ({port.interface})"
            elif found.name != port.interface:
                fault = f"port {port.number} is {found.name}, not {port.interface}"
            key = f"{site} {port.number}"
            if fault is None:
                self.faults.pop(key, None)
            else:
                self.faults[key] = f"{site}: {fault}"
            is_live = fault is None and found is not None and found.is_live
            if self._announced_at.get((site, port.number), -math.inf) >= asked:
                continue
            self._note_carrier(port, has_carrier=is_live or (fault is None and found is not None and found.has_carrier))
            changed |= self._end(port, is_live, now)
        return changed

    def report(
        self, site: str, port_number: int, is_live: bool, now: float, *, has_carrier: bool = False
    ) -> dict[str, bool]:
        """One port's state as a switch announces it; the channels whose state changed by it."""
        port = self._by_number.get((site, port_number))
        self._announced_at[site, port_number] = now
        if port is None:
            return {}
        self._note_carrier(port, has_carrier=is_live or has_carrier)
        return self._end(port, is_live, now)

    def carrier(self, states: Mapping[str, bool], now: float) -> dict[str, bool]:
        """What the kernel says of interfaces: whether they have carrier; the channels whose state changed by it."""
        changed: dict[str, bool] = {}
        for name, has_carrier in states.items():
            port = self._by_interface.get(name)
            if port is None or port.channel is None:
                continue
            was_dead = self._is_dead(port.channel)
            unplugged = self._unplugged[port.channel]
            (unplugged.discard if has_carrier else unplugged.add)(port.site)
            changed |= self._weigh(port.channel, was_dead, now)
        return changed

    def due(self, now: float) -> dict[str, bool]:
        """Channels whose hold-down has passed by ``now``, and those whose silence is believed from now on."""
        was_starving = self.is_starving
        self._starvation.tick(now)
        changed: dict[str, bool] = {}
        if was_starving and not self.is_starving:
            for channel in self._is_up.keys() - self._dark:
                changed |= self._settle(channel, now)
        ready = [c for c, since in self._up_since.items() if now - since >= self._hold_down_s]
        for channel in ready:
            del self._up_since[channel]
            self._is_up[channel] = True
        return changed | dict.fromkeys(ready, True)

    def _note_carrier(self, port: Port, *, has_carrier: bool) -> None:
        if port.channel is not None:
            (self._without_carrier[port.channel].discard if has_carrier else self._without_carrier[port.channel].add)(
                port.site
            )

    def _end(self, port: Port, is_live: bool, now: float) -> dict[str, bool]:
        if port.channel is None:
            return {}
        dead = self._dead_ends[port.channel]
        was_dead = self._is_dead(port.channel)
        (dead.discard if is_live else dead.add)(port.site)
        return self._weigh(port.channel, was_dead, now)

    def _is_dead(self, channel: str) -> bool:
        return bool(self._dead_ends[channel] or self._unplugged[channel])

    def _has_carrier(self, channel: str) -> bool:
        return not (self._without_carrier[channel] or self._unplugged[channel])

    def _weigh(self, channel: str, was_dead: bool, now: float) -> dict[str, bool]:
        """Something has been said about a channel's end."""
        if channel in self._dark:
            return {}
        if not self._is_dead(channel):
            self._believed.discard(channel)
        elif not self._has_carrier(channel):
            self._starvation.is_certain(channel)
        elif not was_dead and self._is_up[channel]:
            return self._fall_silent(channel, now)
        return self._settle(channel, now)

    def _fall_silent(self, channel: str, now: float) -> dict[str, bool]:
        was_starving = self.is_starving
        self._starvation.fell_silent(channel, self._topology.channel(channel).ends, now)
        if was_starving or not self.is_starving:
            return self._settle(channel, now)
        # The first ones were believed; nothing has come of it that would have to be waited for now.
        together = self._starvation.together(now)
        self._believed = {c for c, dead in self._dead_ends.items() if dead and self._has_carrier(c)} - together
        wrong = {c for c in together if not self._is_up[c] and self._works(c)}
        for recovered in wrong:
            self._up_since.pop(recovered, None)
            self._is_up[recovered] = True
        return dict.fromkeys(sorted(wrong), True)

    def _works(self, channel: str) -> bool:
        if not self._is_dead(channel):
            return True
        return self.is_starving and channel not in self._believed and self._has_carrier(channel)

    def _settle(self, channel: str, now: float) -> dict[str, bool]:
        """Down counts at once, up after the hold-down."""
        if self._works(channel):
            if not self._is_up[channel]:
                self._up_since.setdefault(channel, now)
            return {}
        self._up_since.pop(channel, None)
        if not self._is_up[channel]:
            return {}
        self._is_up[channel] = False
        return {channel: False}
