"""Client ports of wavelengths: which one each hop of a lane has, at both ends, where connections have circuits.

How many there are is known to path computation (:mod:`controller.pce.wavelength_pools`); which one a hop has is decided
here. Cross-connects join ports one to one, so a port, and with it a cross-connect, carries one connection. A connection
that moves keeps its ports on the hops that it keeps. What was left stays patched until the switches have let go of it,
and is taken by somebody else in that time only where no other port is free.
"""

from __future__ import annotations

from collections.abc import Collection

from controller.model.errors import ControllerError
from controller.model.path import Lane, Route
from topologies.spec import Allocation, Topology

Holder = tuple[str, int]  # connection, generation of its lane


class ClientPortsExhausted(ControllerError):
    """Every client port of a wavelength is patched."""


class ClientPortPool:
    """The lowest free port first. Where connections share channels, lanes have no ports."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._is_circuit = topology.allocation is Allocation.CIRCUIT
        # By wavelength and port, with the channel that it is patched for.
        self._held: dict[tuple[str, int], dict[Holder, str]] = {}
        self._left: set[Holder] = set()

    def copy(self) -> ClientPortPool:
        """An independent pool in which the same ports are held."""
        twin = ClientPortPool(self._topology)
        twin._held = {port: dict(holders) for port, holders in self._held.items()}
        twin._left = set(self._left)
        return twin

    def take(self, connection_id: str, route: Route, generation: int, leaving: Collection[int] = ()) -> tuple[int, ...]:
        """A port for each hop of a new lane, all or nothing; ``leaving``: lanes of the connection that are to go.

        Raises ClientPortsExhausted, which names the wavelength.
        """
        taken: list[int] = []
        holder = connection_id, generation
        for channel in route.channels if self._is_circuit else ():
            wavelength = self._topology.channel(channel).wavelength
            port = self._choose(connection_id, wavelength, channel, leaving)
            if port is None:
                self._give_back(holder)
                raise ClientPortsExhausted(f"wavelength {wavelength}: all of its client ports are patched")
            self._held.setdefault((wavelength, port), {})[holder] = channel
            taken.append(port)
        return tuple(taken)

    def claim(self, connection_id: str, lane: Lane) -> None:
        """Hold the ports of a lane read back from the journal."""
        for channel, port in zip(lane.route.channels, lane.ports, strict=False):
            held = self._held.setdefault((self._topology.channel(channel).wavelength, port), {})
            held[connection_id, lane.generation] = channel

    def leave(self, connection_id: str, lane: Lane) -> None:
        """The lane is not in use any more; the switches may still have it."""
        if lane.ports:
            self._left.add((connection_id, lane.generation))

    def stay(self, connection_id: str, lane: Lane) -> None:
        """The lane is in use after all."""
        self._left.discard((connection_id, lane.generation))

    def release(self, connection_id: str, lane: Lane) -> None:
        """The switches have let go of the lane."""
        if lane.ports:
            self._give_back((connection_id, lane.generation))

    def holders(self, wavelength: str) -> dict[int, frozenset[str]]:
        """The connections in use by port; several are a fault."""
        found = {
            port: frozenset(holder[0] for holder in holders if holder not in self._left)
            for (name, port), holders in self._held.items()
            if name == wavelength
        }
        return {port: names for port, names in found.items() if names}

    def _choose(self, connection_id: str, wavelength: str, channel: str, leaving: Collection[int]) -> int | None:
        count = self._topology.wavelength(wavelength).client_ports
        goes: list[int] = []
        free: int | None = None
        for port in range(1, count + 1):
            holders = self._held.get((wavelength, port))
            if not holders:
                free = port if free is None else free
            elif all(h in self._left or (h[0] == connection_id and h[1] in leaving) for h in holders):
                if all(h[0] == connection_id for h in holders) and channel in holders.values():
                    return port
                goes.append(port)
        return free if free is not None else goes[0] if goes else None

    def _give_back(self, holder: Holder) -> None:
        self._left.discard(holder)
        for port in [port for port, holders in self._held.items() if holder in holders]:
            del self._held[port][holder]
            if not self._held[port]:
                del self._held[port]
