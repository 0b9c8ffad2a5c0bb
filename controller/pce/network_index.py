"""A topology in flat lists of integers: what path computation needs and no reservation changes.

A channel in one direction is an *arc*: number 2 c leads from the first end of channel c to the second, 2 c + 1 back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from controller.model.latency import NOTHING_BESIDE_CHANNELS, LatencyModel
from controller.model.operator_policy import CostProfile
from controller.model.path import Route
from controller.pce.bounds import Bounds
from controller.pce.cost import channel_cost
from controller.pce.wavelength_pools import WavelengthPools
from topologies.spec import Channel, SecurityClass, Topology


def channel_latency_us(channel: Channel) -> int:
    """One-way delay in whole microseconds, rounded up so that a sum never understates the delay.

    The delay is first rounded to a picosecond: 10 km are 49 us of fibre and not 49.00000000000001.
    """
    return math.ceil(round(channel.delay_us, 6))


def channel_capacity_kbps(channel: Channel) -> int:
    return round(channel.capacity_mbps * 1000)


Offer = tuple[int, int, int, int]  # arc, cost without load, latency (us), capacity (kbit/s)
OfferRow = tuple[int, int, int, tuple[Offer, ...]]


@dataclass(frozen=True)
class IndexedLink:
    """A QKD link with its ends and sections as integers, and how often it crosses each section."""

    id: str
    a: int
    b: int
    crossings: tuple[tuple[int, int], ...]
    inner_sites: frozenset[int]  # trusted nodes on the way that are sites of the topology

    @property
    def length(self) -> int:
        """Section crossings in all."""
        return sum(times for _, times in self.crossings)


class NetworkIndex:
    """A topology in flat lists: what path computation needs and no reservation changes. Shared by all copies."""

    def __init__(
        self,
        topology: Topology,
        profile: CostProfile = CostProfile.PREMIUM_LAST,
        latency: LatencyModel = NOTHING_BESIDE_CHANNELS,
    ) -> None:
        self.topology, self.profile, self.latency = topology, profile, latency
        self.site_names = tuple(sorted(s.name for s in topology.sites))
        self.site_number = {name: i for i, name in enumerate(self.site_names)}
        channels = sorted(topology.channels, key=lambda c: c.id)
        self.channel_ids = tuple(c.id for c in channels)
        self.channel_number = {channel_id: i for i, channel_id in enumerate(self.channel_ids)}
        self.security = [int(c.security) for c in channels]
        self.latency_us = [channel_latency_us(c) + latency.switch_us for c in channels]  # and the switch after it
        self.capacity_kbps = [channel_capacity_kbps(c) for c in channels]
        self.is_spare = [c.dark for c in channels]
        self.pools = WavelengthPools(topology, self.channel_ids, self.capacity_kbps)
        self.ends = [(self.site_number[c.a], self.site_number[c.b]) for c in channels]
        self.risk_names = tuple(sorted({group for c in channels for group in c.risk_groups}))
        risk_number = {name: i for i, name in enumerate(self.risk_names)}
        self.risks = [tuple(sorted(risk_number[group] for group in c.risk_groups)) for c in channels]
        self.channels_at: list[list[int]] = [[] for _ in self.site_names]
        for number, (a, b) in enumerate(self.ends):
            self.channels_at[a].append(number)
            self.channels_at[b].append(number)
        self.neighbours = self._adjacencies()
        self.bounds = Bounds(  # latency, us
            [[(site, min(self.latency_us[c] for c in parallel)) for site, parallel in row] for row in self.neighbours]
        )
        self._offers: dict[tuple[int, bool], list[list[OfferRow]]] = {}
        self.section_ids = tuple(sorted(s.id for s in topology.sections))
        self.section_number = {section_id: i for i, section_id in enumerate(self.section_ids)}
        self.links_at = self._key_links()
        self.key_bounds = Bounds([[(site, link.length) for site, link in row] for row in self.links_at])

    def _adjacencies(self) -> list[list[tuple[int, tuple[int, ...]]]]:
        """Per site its neighbours, each with the parallel channels that lead there."""
        rows: list[dict[int, list[int]]] = [{} for _ in self.site_names]
        for number, (a, b) in enumerate(self.ends):
            rows[a].setdefault(b, []).append(number)
            rows[b].setdefault(a, []).append(number)
        return [[(site, tuple(row[site])) for site in sorted(row)] for row in rows]

    def arcs_of(self, route: Route) -> tuple[int, ...]:
        """The channels of a route in its direction; in their own where it names no sites.

        KeyError when it is of another topology.
        """
        numbers = [self.channel_number[channel] for channel in route.channels]
        if not route.sites:
            return tuple(2 * number for number in numbers)
        senders = (self.site_number[site] for site in route.sites[:-1])
        return tuple(2 * n + (self.ends[n][0] != sender) for n, sender in zip(numbers, senders, strict=True))

    def prepare(self) -> None:
        """Compute now what would otherwise be computed by the first questions: bounds and offers."""
        self.bounds.prepare()
        self.key_bounds.prepare()
        for security in SecurityClass:
            self.offers(int(security), False)

    def offers(self, level: int, is_exact: bool) -> list[list[OfferRow]]:
        """Per site its neighbours with the arcs there that satisfy the security asked for, best first.

        A row is (neighbour, least cost, least latency, offers); costs leave the load out, which changes.
        """
        if (level, is_exact) not in self._offers:
            self._offers[level, is_exact] = [
                [
                    row
                    for to, parallel in at
                    if (row := self._offer_row(site, to, parallel, level, is_exact)) is not None
                ]
                for site, at in enumerate(self.neighbours)
            ]
        return self._offers[level, is_exact]

    def _offer_row(
        self, site: int, neighbour: int, parallel: tuple[int, ...], level: int, is_exact: bool
    ) -> OfferRow | None:
        offers = []
        for channel in parallel:
            surplus, latency = self.security[channel] - level, self.latency_us[channel]
            if surplus == 0 or (surplus > 0 and not is_exact):
                arc = 2 * channel + (self.ends[channel][0] != site)
                offers.append(
                    (arc, channel_cost(surplus, latency, 0, self.profile), latency, self.capacity_kbps[channel])
                )
        if not offers:
            return None
        offers.sort(key=lambda offer: (offer[1], offer[0]))
        return neighbour, offers[0][1], min(latency for _, _, latency, _ in offers), tuple(offers)

    def _key_links(self) -> list[list[tuple[int, IndexedLink]]]:
        """Per site the QKD links that end there, each with the site at its far end."""
        nodes_of = {s.id: (s.a, s.b) for s in self.topology.sections}
        rows: list[list[tuple[int, IndexedLink]]] = [[] for _ in self.site_names]
        for link in sorted(self.topology.qkd_links, key=lambda q: q.id):
            nodes = {node for section in link.sections for node in nodes_of[section]} - {link.a, link.b}
            indexed = IndexedLink(
                link.id,
                self.site_number[link.a],
                self.site_number[link.b],
                tuple(sorted(Counter(self.section_number[s] for s in link.sections).items())),
                frozenset(self.site_number[node] for node in nodes if node in self.site_number),
            )
            rows[indexed.a].append((indexed.b, indexed))
            if indexed.a != indexed.b:
                rows[indexed.b].append((indexed.a, indexed))
        return rows


def arc_demand(arcs: Iterable[int], bandwidth_kbps: tuple[int, int]) -> Counter[int]:
    """What arcs take of themselves and of their opposites, in kbit/s along them and against them."""
    along, against = bandwidth_kbps
    demand: Counter[int] = Counter()
    for arc in arcs:
        demand[arc] += along
        demand[arc ^ 1] += against
    return demand
