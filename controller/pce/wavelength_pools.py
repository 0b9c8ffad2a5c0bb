"""What the circuits of a wavelength share, and a path may therefore take several times over.

A *pool* is one such amount. Wavelength w has two, numbers 2 w and 2 w + 1. Where connections share channels they are
its capacity, kbit/s, along its circuits and against them: from the first end of each circuit to the second, and back.
Where each has circuits of its own (paper 002, section 2) the first is the wavelength's client ports, of which every hop
takes one at each end, and the second is nothing.

A wavelength whose circuits cannot exceed it together has no pools: most networks have none, and pay nothing for this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from topologies.spec import Allocation, Topology

NO_POOL = -1
PLENTY = 1 << 62  # of what nothing takes


@dataclass(frozen=True)
class PooledWavelength:
    """A wavelength with pools: the number of the first, its channels, and what a circuit of it carries, kbit/s."""

    name: str
    pool: int
    channels: tuple[int, ...]
    client_kbps: int  # PLENTY where connections share channels


class WavelengthPools:
    """The pools of a topology, which no reservation changes."""

    def __init__(self, topology: Topology, channel_ids: Sequence[str], capacity_kbps: Sequence[int]) -> None:
        self.is_circuit = topology.allocation is Allocation.CIRCUIT
        self.names = tuple(sorted(w.id for w in topology.wavelengths))
        self.number = {name: i for i, name in enumerate(self.names)}
        on: list[list[int]] = [[] for _ in self.names]
        for channel, channel_id in enumerate(channel_ids):
            on[self.number[topology.channel(channel_id).wavelength]].append(channel)
        self.channels = tuple(map(tuple, on))
        self.capacity_kbps = [0] * len(self.names)
        self.capacity: list[int] = []  # by pool
        self.pool_of = [NO_POOL] * len(channel_ids)  # the first of the channel's wavelength
        by_name = {w.id: w for w in topology.wavelengths}
        pooled = []
        for number, name in enumerate(self.names):
            wavelength, channels = by_name[name], self.channels[number]
            kbps = round(wavelength.capacity_gbps * topology.mbps_per_gbps * 1000)
            self.capacity_kbps[number] = kbps
            self.capacity += [wavelength.client_ports, PLENTY] if self.is_circuit else [kbps, kbps]
            if not self.is_circuit and sum(capacity_kbps[channel] for channel in channels) <= kbps:
                continue
            for channel in channels:
                self.pool_of[channel] = 2 * number
            client_kbps = round(wavelength.client_gbps * topology.mbps_per_gbps * 1000)
            pooled.append(PooledWavelength(name, 2 * number, channels, client_kbps if self.is_circuit else PLENTY))
        self.pooled = tuple(pooled)

    def name_of(self, pool: int) -> str:
        """The pool's wavelength."""
        return self.names[pool // 2]

    def taken_by(self, arc: int, bandwidth_kbps: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """What one hop over an arc takes of which pools, with this bandwidth along it and against it."""
        pool = self.pool_of[arc >> 1]
        if pool == NO_POOL:
            return
        if self.is_circuit:
            yield pool, 1
            return
        along, against = bandwidth_kbps
        yield pool + (arc & 1), along
        yield pool + 1 - (arc & 1), against

    def demand(self, arcs: Iterable[int], bandwidth_kbps: tuple[int, int]) -> Counter[int]:
        """What all the arcs take together, by pool; nothing that is zero."""
        demand: Counter[int] = Counter()
        for arc in arcs if self.pooled else ():
            for pool, amount in self.taken_by(arc, bandwidth_kbps):
                demand[pool] += amount
        return +demand

    def closed_arcs(self, left: Sequence[int], bandwidth_kbps: tuple[int, int]) -> Iterator[int]:
        """The arcs of pools that do not bear a single hop with what is ``left``."""
        most = max(bandwidth_kbps)
        for wavelength in self.pooled:
            if most > wavelength.client_kbps:
                yield from (arc for channel in wavelength.channels for arc in (2 * channel, 2 * channel + 1))
                continue
            first = 2 * wavelength.channels[0] if wavelength.channels else 0
            for parity in (0, 1) if wavelength.channels else ():
                if any(need > left[pool] for pool, need in self.taken_by(first + parity, bandwidth_kbps)):
                    yield from (2 * channel + parity for channel in wavelength.channels)
