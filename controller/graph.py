"""The network as the controller sees it: what there is, what is up, what is reserved.

:class:`NetworkIndex` is the part that never changes (sites, channels and sections as small integers in the order
of their names, so that no answer depends on the order in which a topology lists them); :class:`Network` adds the
states and the reservations. Bandwidth is kbit/s and counts in both directions alike; key rate is mbit/s,
thousandths of a bit per second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from controller.bounds import Bounds
from controller.cost import channel_cost
from controller.model import ControllerError, Route
from topologies.spec import Channel, SecurityClass, Topology

KEY_STEP_MBPS = 10_000


class NetworkError(ControllerError):
    """Base of what a network refuses."""


class OverCommitted(NetworkError):
    """A reservation that does not fit; nothing of it was made."""

    def __init__(self, element: str, need: int, available: int) -> None:
        super().__init__(f"{element}: {need} asked for, {available} left")
        self.element = element
        self.need = need
        self.available = available


class AlreadyReserved(NetworkError):
    """Our own misuse: the owner holds a reservation already."""


def channel_latency_us(channel: Channel) -> int:
    """One-way delay in whole microseconds, rounded up so that a sum never understates the delay.

    The delay is first rounded to a picosecond: 10 km are 49 us of fibre and not 49.00000000000001.
    """
    return math.ceil(round(channel.delay_us, 6))


def channel_capacity_kbps(channel: Channel) -> int:
    return round(channel.capacity_mbps * 1000)


Offer = tuple[int, int, int, int]  # channel, cost without load, latency (us), capacity (kbit/s)
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

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.site_names = tuple(sorted(s.name for s in topology.sites))
        self.site_number = {name: i for i, name in enumerate(self.site_names)}
        channels = sorted(topology.channels, key=lambda c: c.id)
        self.channel_ids = tuple(c.id for c in channels)
        self.channel_number = {channel_id: i for i, channel_id in enumerate(self.channel_ids)}
        self.security = [int(c.security) for c in channels]
        self.latency_us = [channel_latency_us(c) for c in channels]
        self.capacity_kbps = [channel_capacity_kbps(c) for c in channels]
        self.is_spare = [c.dark for c in channels]
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

    def prepare(self) -> None:
        """Compute now what would otherwise be computed by the first questions: bounds and offers."""
        self.bounds.prepare()
        self.key_bounds.prepare()
        for security in SecurityClass:
            self.offers(int(security), False)

    def offers(self, level: int, is_exact: bool) -> list[list[OfferRow]]:
        """Per site its neighbours with the channels there that satisfy the security asked for, best first.

        A row is (neighbour, least cost, least latency, offers); costs leave the load out, which changes.
        """
        if (level, is_exact) not in self._offers:
            self._offers[level, is_exact] = [
                [row for site, parallel in at if (row := self._offer_row(site, parallel, level, is_exact)) is not None]
                for at in self.neighbours
            ]
        return self._offers[level, is_exact]

    def _offer_row(self, site: int, parallel: tuple[int, ...], level: int, is_exact: bool) -> OfferRow | None:
        offers = []
        for channel in parallel:
            surplus, latency = self.security[channel] - level, self.latency_us[channel]
            if surplus == 0 or (surplus > 0 and not is_exact):
                offers.append((channel, channel_cost(surplus, latency, 0), latency, self.capacity_kbps[channel]))
        if not offers:
            return None
        offers.sort(key=lambda offer: (offer[1], offer[0]))
        return site, offers[0][1], min(latency for _, _, latency, _ in offers), tuple(offers)

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


@dataclass(frozen=True)
class _Holding:
    """What one owner holds."""

    channels: tuple[int, ...]
    bandwidth_kbps: int
    keys: tuple[tuple[int, int], ...]  # section, mbit/s
    key_rate_mbps: int = 0  # per crossing


class Network:
    """A topology with its present states and reservations.

    Everything is up at first; a QKD section counts as dry until its rate is told (missing data fails closed).
    """

    def __init__(self, topology: Topology) -> None:
        self.index = NetworkIndex(topology)
        sites, channels, sections = (
            len(self.index.site_names),
            len(self.index.channel_ids),
            len(self.index.section_ids),
        )
        self._channel_up = [True] * channels
        self._dark = list(self.index.is_spare)
        self._site_up = [True] * sites
        self._reserved = [0] * channels
        self._key_rate = [0] * sections
        self._key_usable = [False] * sections
        self._key_reserved = [0] * sections
        self._compute_used = [(0, 0)] * sites
        self._holdings: dict[str, _Holding] = {}
        self._compute_holdings: dict[str, tuple[int, int, int]] = {}
        # What path computation may use: the residual, or -1 while the channel is dark or down, or one of its sites is.
        self.headroom = list(self.index.capacity_kbps)
        self._refresh(number for number, is_dark in enumerate(self._dark) if is_dark)

    @property
    def topology(self) -> Topology:
        return self.index.topology

    def copy(self) -> Network:
        """An independent network in the same state; the index is shared."""
        twin = object.__new__(Network)
        twin.index = self.index
        twin._channel_up = list(self._channel_up)
        twin._dark = list(self._dark)
        twin._site_up = list(self._site_up)
        twin._reserved = list(self._reserved)
        twin._key_rate = list(self._key_rate)
        twin._key_usable = list(self._key_usable)
        twin._key_reserved = list(self._key_reserved)
        twin._compute_used = list(self._compute_used)
        twin._holdings = dict(self._holdings)
        twin._compute_holdings = dict(self._compute_holdings)
        twin.headroom = list(self.headroom)
        return twin

    def onto(self, topology: Topology) -> Network:
        """A network of another topology, which has everything of this one's and more, in the same state."""
        other = Network(topology)
        for channel_id, number in self.index.channel_number.items():
            there = other.index.channel_number[channel_id]
            other._channel_up[there] = self._channel_up[number]
            other._dark[there] = self._dark[number]
            other._reserved[there] = self._reserved[number]
        for site, number in self.index.site_number.items():
            other._site_up[other.index.site_number[site]] = self._site_up[number]
        for section_id, number in self.index.section_number.items():
            there = other.index.section_number[section_id]
            other._key_rate[there] = self._key_rate[number]
            other._key_usable[there] = self._key_usable[number]
            other._key_reserved[there] = self._key_reserved[number]
        other._refresh(range(len(other.index.channel_ids)))
        return other

    # States

    def set_channel_up(self, channel_id: str, up: bool) -> bool:
        """Record what is known of the channel; True when that is news."""
        number = self.index.channel_number[channel_id]
        changed = self._channel_up[number] is not up
        self._channel_up[number] = up
        self._refresh((number,))
        return changed

    def set_dark(self, channel_id: str, dark: bool) -> None:
        """Take a channel out of use, or into it. A spare is dark until it is lit."""
        number = self.index.channel_number[channel_id]
        self._dark[number] = dark
        self._refresh((number,))

    def is_dark(self, channel_id: str) -> bool:
        return self._dark[self.index.channel_number[channel_id]]

    def set_site_up(self, site: str, up: bool) -> bool:
        """Record what is known of the site; True when that is news. A site that is down takes its channels along."""
        number = self.index.site_number[site]
        changed = self._site_up[number] is not up
        self._site_up[number] = up
        self._refresh(self.index.channels_at[number])
        return changed

    def set_section(self, section_id: str, rate_mbps: int, usable: bool) -> bool:
        """Record the secret-key rate of a QKD section (mbit/s) and whether it may be used; True when that is news."""
        if rate_mbps < 0:
            raise ValueError(f"section {section_id}: rate_mbps must not be negative, not {rate_mbps}")
        number = self.index.section_number[section_id]
        changed = (self._key_rate[number], self._key_usable[number]) != (rate_mbps, usable)
        self._key_rate[number] = rate_mbps
        self._key_usable[number] = usable
        return changed

    def is_channel_up(self, channel_id: str) -> bool:
        """Whether the channel and both its sites are up; a dark one is not."""
        return self.headroom[self.index.channel_number[channel_id]] >= 0

    def is_site_up(self, site: str) -> bool:
        return self._site_up[self.index.site_number[site]]

    # What is left

    def residual_kbps(self, channel_id: str) -> int:
        number = self.index.channel_number[channel_id]
        return self.index.capacity_kbps[number] - self._reserved[number]

    def reserved_kbps(self, channel_id: str) -> int:
        return self._reserved[self.index.channel_number[channel_id]]

    def residual_key_mbps(self, section_id: str) -> int:
        """Key rate left on the section; 0 when it is unusable, or when its rate fell below what is reserved."""
        return self.key_headroom(self.index.section_number[section_id])

    def is_section_usable(self, section_id: str) -> bool:
        return self._key_usable[self.index.section_number[section_id]]

    def key_rate_mbps(self, section_id: str) -> int:
        """What the section gives in all; 0 when it is unusable."""
        number = self.index.section_number[section_id]
        return self._key_rate[number] if self._key_usable[number] else 0

    def reserved_key_mbps(self, section_id: str) -> int:
        return self._key_reserved[self.index.section_number[section_id]]

    def key_headroom(self, section: int) -> int:
        """As :meth:`residual_key_mbps`, by number."""
        if not self._key_usable[section]:
            return 0
        return max(0, self._key_rate[section] - self._key_reserved[section])

    def fingerprint(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The same as long as searches find the same; key rates, which are measured, count in steps of 10 bit/s."""
        sections = range(len(self.index.section_ids))
        return tuple(self.headroom), tuple(self.key_headroom(s) // KEY_STEP_MBPS for s in sections)

    def is_site_number_up(self, site: int) -> bool:
        return self._site_up[site]

    def reserved_by_number(self) -> list[int]:
        """Reserved kbit/s per channel number; to be read, not changed."""
        return self._reserved

    def free_compute(self, site: str) -> tuple[int, int]:
        """Virtual CPUs and gigabytes of memory left at ``site``."""
        spec = self.topology.site(site)
        vcpus, memory_gb = self._compute_used[self.index.site_number[site]]
        return spec.vcpus - vcpus, spec.memory_gb - memory_gb

    # Reservations

    def reserve(
        self, owner: str, route: Route, bandwidth_kbps: int, key_rate_mbps: int, *, is_kept: bool = False
    ) -> None:
        """Take bandwidth on every channel of ``route`` and key rate for every crossing of its key sections.

        All or nothing: OverCommitted names the first element on which it does not fit, AlreadyReserved an owner
        who holds something. States do not matter here, so that a restart can restore what was reserved. Key rate that
        was held until now (``is_kept``) stays so, whatever sections give by now: see :mod:`controller.keysupply`.
        """
        if owner in self._holdings:
            raise AlreadyReserved(f"{owner} holds a reservation already")
        if bandwidth_kbps < 0 or key_rate_mbps < 0:
            raise ValueError(f"{owner}: bandwidth_kbps and key_rate_mbps must not be negative")
        channels = tuple(self.index.channel_number[c] for c in route.channels)
        for number, times in Counter(channels).items():
            left = self.index.capacity_kbps[number] - self._reserved[number]
            if bandwidth_kbps * times > left:
                raise OverCommitted(self.index.channel_ids[number], bandwidth_kbps * times, left)
        keys = tuple((self.index.section_number[s], key_rate_mbps * times) for s, times in route.key_sections)
        for section, rate in () if is_kept else keys:
            if rate > self.key_headroom(section):
                raise OverCommitted(self.index.section_ids[section], rate, self.key_headroom(section))
        holding = _Holding(channels, bandwidth_kbps, keys, key_rate_mbps if keys else 0)
        self._apply(holding, sign=1)
        self._holdings[owner] = holding

    def release(self, owner: str) -> None:
        """Give back what ``owner`` holds; KeyError when that is nothing."""
        self._apply(self._holdings.pop(owner), sign=-1)

    def is_reserved(self, owner: str) -> bool:
        return owner in self._holdings

    def reserved_rate_mbps(self, owner: str) -> int:
        """The key rate that ``owner`` holds on each crossing; 0 when it holds none."""
        return self._holdings[owner].key_rate_mbps if owner in self._holdings else 0

    def reserve_compute(self, owner: str, site: str, vcpus: int, memory_gb: int) -> None:
        """Take compute at ``site``; errors as for :meth:`reserve`."""
        if owner in self._compute_holdings:
            raise AlreadyReserved(f"{owner} holds compute already")
        if vcpus < 0 or memory_gb < 0:
            raise ValueError(f"{owner}: vcpus and memory_gb must not be negative")
        free_vcpus, free_memory_gb = self.free_compute(site)
        if vcpus > free_vcpus:
            raise OverCommitted(f"{site} vcpus", vcpus, free_vcpus)
        if memory_gb > free_memory_gb:
            raise OverCommitted(f"{site} memory_gb", memory_gb, free_memory_gb)
        number = self.index.site_number[site]
        used_vcpus, used_memory_gb = self._compute_used[number]
        self._compute_used[number] = (used_vcpus + vcpus, used_memory_gb + memory_gb)
        self._compute_holdings[owner] = (number, vcpus, memory_gb)

    def release_compute(self, owner: str) -> None:
        """Give back the compute ``owner`` holds; KeyError when that is nothing."""
        number, vcpus, memory_gb = self._compute_holdings.pop(owner)
        used_vcpus, used_memory_gb = self._compute_used[number]
        self._compute_used[number] = (used_vcpus - vcpus, used_memory_gb - memory_gb)

    def _apply(self, holding: _Holding, sign: int) -> None:
        for number in holding.channels:
            self._reserved[number] += sign * holding.bandwidth_kbps
        for section, rate in holding.keys:
            self._key_reserved[section] += sign * rate
        self._refresh(holding.channels)

    def _refresh(self, channels: Iterable[int]) -> None:
        for number in channels:
            a, b = self.index.ends[number]
            up = self._channel_up[number] and not self._dark[number] and self._site_up[a] and self._site_up[b]
            self.headroom[number] = self.index.capacity_kbps[number] - self._reserved[number] if up else -1
