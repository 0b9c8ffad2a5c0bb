"""The network as the controller sees it: what there is, what is up, what is reserved.

:class:`~controller.pce.network_index.NetworkIndex` is the part that never changes (sites, channels and sections as
small integers in the order of their names, so that no answer depends on the order in which a topology lists them);
:class:`Network` adds the states and the reservations. Bandwidth is kbit/s and counts in each direction of a channel by
itself; key rate is millibit/s, thousandths of a bit per second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from controller.model.errors import ControllerError
from controller.model.latency import NOTHING_BESIDE_CHANNELS, LatencyModel
from controller.model.operator_policy import CostProfile
from controller.model.path import Route
from controller.model.request import Compute
from controller.model.search_effort import Effort
from controller.pce.network_index import NetworkIndex, arc_demand
from controller.pce.wavelength_pools import PLENTY
from topologies.spec import Topology

KEY_STEP_MILLIBPS = 10_000
PLENTY_OF_KEY_MILLIBPS = 1 << 62


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


@dataclass(frozen=True)
class _Holding:
    """What one owner holds."""

    arcs: tuple[int, ...]
    bandwidth_kbps: tuple[int, int]  # along the arcs, and against them
    keys: tuple[tuple[int, int], ...]  # section, millibit/s
    pools: tuple[tuple[int, int], ...] = ()  # see controller.pce.wavelength_pools
    key_rate_millibps: int = 0  # per crossing


class Network:
    """A topology with its present states and reservations.

    Everything is up at first; the rates of QKD sections are unknown until they are told. Searches find no key where
    the rate is unknown, and :meth:`supplied` tells whether that is all that is missing.
    """

    def __init__(
        self,
        topology: Topology,
        profile: CostProfile = CostProfile.PREMIUM_LAST,
        latency: LatencyModel = NOTHING_BESIDE_CHANNELS,
    ) -> None:
        self.index = index = NetworkIndex(topology, profile, latency)
        sites, channels, sections = len(index.site_names), len(index.channel_ids), len(index.section_ids)
        self._channel_up, self._dark = [True] * channels, list(index.is_spare)
        self._site_up, self._is_open = [True] * sites, [True] * sites
        self._works, self._reserved = [True] * channels, [0] * (2 * channels)  # reserved: by arc
        self._key_rate, self._key_usable = [0] * sections, [False] * sections
        self._key_unknown, self._key_reserved = frozenset(index.section_ids), [0] * sections
        self._compute_used = [(0, 0)] * sites
        self._holdings: dict[str, _Holding] = {}
        self.pool_left = list(self.index.pools.capacity)  # see controller.pce.wavelength_pools
        self._compute_holdings: dict[str, Mapping[str, Compute]] = {}
        # What path computation may use of each arc: the residual, or -1 while the channel is dark or down, or one of
        # its sites is down or closed.
        self.headroom = [capacity for capacity in self.index.capacity_kbps for _ in range(2)]
        self.effort = Effort()  # what searches on it spend
        self._refresh(number for number, is_dark in enumerate(self._dark) if is_dark)

    @property
    def topology(self) -> Topology:
        return self.index.topology

    def copy(self) -> Network:
        """An independent network in the same state; the index is shared."""
        twin = object.__new__(Network)
        twin.take_over(self)
        twin.effort = self.effort
        return twin

    @contextmanager
    def bounded(self, effort: Effort) -> Iterator[None]:
        """Searches on it, and on copies made meanwhile, spend of ``effort``. They raise BoundReached."""
        before, self.effort = self.effort, effort
        try:
            yield
        finally:
            self.effort = before

    def take_over(self, other: Network) -> None:
        """Be in the state of ``other``, as of something tried on a copy; both stay independent."""
        self.index = other.index
        self._channel_up, self._dark = list(other._channel_up), list(other._dark)
        self._site_up, self._is_open = list(other._site_up), list(other._is_open)
        self._works = list(other._works)
        self._reserved = list(other._reserved)
        self._key_rate, self._key_usable = list(other._key_rate), list(other._key_usable)
        self._key_unknown = other._key_unknown
        self._key_reserved = list(other._key_reserved)
        self._compute_used = list(other._compute_used)
        self._holdings = dict(other._holdings)
        self.pool_left = list(other.pool_left)
        self._compute_holdings = dict(other._compute_holdings)
        self.headroom = list(other.headroom)

    def onto(self, topology: Topology) -> Network:
        """A network of another topology, which has everything of this one's and more, in the same state."""
        self.effort.spend(len(self.index.channel_ids))
        other = Network(topology, self.index.profile, self.index.latency)
        other.effort = self.effort
        for channel_id, number in self.index.channel_number.items():
            there = other.index.channel_number[channel_id]
            other._channel_up[there] = self._channel_up[number]
            other._dark[there] = self._dark[number]
            other._reserved[2 * there : 2 * there + 2] = self._reserved[2 * number : 2 * number + 2]
        for pool, left in enumerate(self.pool_left):
            there = 2 * other.index.pools.number[self.index.pools.name_of(pool)] + pool % 2
            other.pool_left[there] -= self.index.pools.capacity[pool] - left
        for site, number in self.index.site_number.items():
            other._site_up[other.index.site_number[site]] = self._site_up[number]
            other._is_open[other.index.site_number[site]] = self._is_open[number]
        for section_id, number in self.index.section_number.items():
            there = other.index.section_number[section_id]
            other._key_rate[there] = self._key_rate[number]
            other._key_usable[there] = self._key_usable[number]
            other._key_reserved[there] = self._key_reserved[number]
        other._key_unknown -= self.index.section_number.keys() - self._key_unknown
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

    def set_open(self, site: str, is_open: bool) -> None:
        """Whether new paths may cross the site; what crosses it already works on, and its keys are relayed."""
        number = self.index.site_number[site]
        self._is_open[number] = is_open
        self._refresh(self.index.channels_at[number])

    def is_open(self, site: str) -> bool:
        return self._is_open[self.index.site_number[site]]

    def set_section(self, section_id: str, rate_millibps: int, usable: bool) -> bool:
        """Record the secret-key rate of a QKD section (millibit/s), whether it may be used; True when that is news."""
        if rate_millibps < 0:
            raise ValueError(f"section {section_id}: rate_millibps must not be negative, not {rate_millibps}")
        number = self.index.section_number[section_id]
        changed = (self._key_rate[number], self._key_usable[number]) != (rate_millibps, usable)
        self._key_rate[number] = rate_millibps
        self._key_usable[number] = usable
        self._key_unknown -= {section_id}
        return changed

    def set_unknown_sections(self, sections: Iterable[str]) -> None:
        """The sections whose rate nobody has told; that of every other is what was recorded last."""
        self._key_unknown = frozenset(sections)

    @property
    def unknown_sections(self) -> frozenset[str]:
        """The sections whose rate nobody has told: they may give anything from nothing to plenty."""
        return self._key_unknown

    def supplied(self) -> Network:
        """A copy in which every section whose rate is unknown gives plenty: what does not fit there does not fit."""
        twin = self.copy()
        for section in self._key_unknown:
            twin.set_section(section, PLENTY_OF_KEY_MILLIBPS, usable=True)
        return twin

    def unpooled(self) -> Network:
        """A copy in which no wavelength runs out of capacity or client ports."""
        twin = self.copy()
        twin.pool_left = [PLENTY] * len(self.pool_left)
        return twin

    def is_channel_up(self, channel_id: str) -> bool:
        """Whether the channel and both its sites are up; a dark one is not."""
        return self._works[self.index.channel_number[channel_id]]

    def is_site_up(self, site: str) -> bool:
        return self._site_up[self.index.site_number[site]]

    # What is left

    def residual_kbps(self, channel_id: str, sender: str | None = None) -> int:
        """What is left in the direction away from ``sender``; in the fuller of the two without one."""
        number = self.index.channel_number[channel_id]
        return self.index.capacity_kbps[number] - self.reserved_kbps(channel_id, sender)

    def reserved_kbps(self, channel_id: str, sender: str | None = None) -> int:
        """As :meth:`residual_kbps`, what is not left."""
        number = self.index.channel_number[channel_id]
        if sender is None:
            return max(self._reserved[2 * number], self._reserved[2 * number + 1])
        return self._reserved[2 * number + (self.index.ends[number][0] != self.index.site_number[sender])]

    def carried_kbps(self, wavelength: str) -> tuple[int, int]:
        """What all circuits of a wavelength have reserved together: from their first ends, and back."""
        channels = self.index.pools.channels[self.index.pools.number[wavelength]]
        return sum(self._reserved[2 * c] for c in channels), sum(self._reserved[2 * c + 1] for c in channels)

    def ports_left(self, wavelength: str) -> int | None:
        """The client ports that are free; None where connections take none."""
        pools = self.index.pools
        return self.pool_left[2 * pools.number[wavelength]] if pools.is_circuit else None

    def residual_key_millibps(self, section_id: str) -> int:
        """Key rate left on the section; 0 when it is unusable, or when its rate fell below what is reserved."""
        return self.key_headroom(self.index.section_number[section_id])

    def is_section_usable(self, section_id: str) -> bool:
        return self._key_usable[self.index.section_number[section_id]]

    def key_rate_millibps(self, section_id: str) -> int:
        """What the section gives in all; 0 when it is unusable."""
        number = self.index.section_number[section_id]
        return self._key_rate[number] if self._key_usable[number] else 0

    def reserved_key_millibps(self, section_id: str) -> int:
        return self._key_reserved[self.index.section_number[section_id]]

    def key_headroom(self, section: int) -> int:
        """As :meth:`residual_key_millibps`, by number."""
        if not self._key_usable[section]:
            return 0
        return max(0, self._key_rate[section] - self._key_reserved[section])

    def fingerprint(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The same as long as searches find the same; key rates, which are measured, count in steps of 10 bit/s."""
        sections = range(len(self.index.section_ids))
        return (*self.headroom, *self.pool_left), tuple(self.key_headroom(s) // KEY_STEP_MILLIBPS for s in sections)

    def mark(self) -> object:
        """Equal marks: nothing that a plan hangs on is another."""
        states = tuple(self._site_up), tuple(self._is_open), self._key_unknown
        return self.fingerprint(), tuple(self._compute_used), states

    def is_site_number_up(self, site: int) -> bool:
        return self._site_up[site]

    def free_compute(self, site: str) -> tuple[int, int]:
        """Virtual CPUs and gigabytes of memory left at ``site``."""
        spec = self.topology.site(site)
        vcpus, memory_gb = self._compute_used[self.index.site_number[site]]
        return spec.vcpus - vcpus, spec.memory_gb - memory_gb

    # Reservations

    def reserve(
        self,
        owner: str,
        route: Route,
        bandwidth_kbps: int | tuple[int, int],
        key_rate_millibps: int,
        *,
        is_kept: bool = False,
        is_on_wavelengths: bool = True,
    ) -> None:
        """Take bandwidth on every channel of ``route`` and key rate for every crossing of its key sections.

        Two bandwidths are that along the route and that against it, one is both. All or nothing: OverCommitted names
        the first element on which it does not fit, AlreadyReserved an owner who holds something. States do not matter,
        so that a restart can restore what was reserved. Key rate that was held until now (``is_kept``) stays so,
        whatever sections give by now: see :mod:`controller.policy.key_supply`. Wavelengths give capacity or client
        ports with it, unless that is reserved by itself (:meth:`reserve_wavelengths`).
        """
        self._require_nothing(owner)
        along, against = bandwidth_kbps if isinstance(bandwidth_kbps, tuple) else (bandwidth_kbps, bandwidth_kbps)
        if min(along, against, key_rate_millibps) < 0:
            raise ValueError(f"{owner}: bandwidth_kbps and key_rate_millibps must not be negative")
        arcs = self.index.arcs_of(route)
        for arc, need in arc_demand(arcs, (along, against)).items():
            left = self.index.capacity_kbps[arc // 2] - self._reserved[arc]
            if need > left:
                raise OverCommitted(self.index.channel_ids[arc // 2], need, left)
        keys = tuple((self.index.section_number[s], key_rate_millibps * times) for s, times in route.key_sections)
        for section, rate in () if is_kept else keys:
            if rate > self.key_headroom(section):
                raise OverCommitted(self.index.section_ids[section], rate, self.key_headroom(section))
        pools = self.index.pools.demand(arcs, (along, against)) if is_on_wavelengths else {}
        self._require_pools(pools)
        rate = key_rate_millibps if keys else 0
        self._hold(owner, _Holding(arcs, (along, against), keys, tuple(pools.items()), rate))

    def reserve_wavelengths(self, owner: str, pools: Mapping[int, int]) -> None:
        """Take of pools alone (:mod:`controller.pce.wavelength_pools`); errors as for :meth:`reserve`."""
        self._require_nothing(owner)
        self._require_pools(pools)
        self._hold(owner, _Holding((), (0, 0), (), tuple(pools.items())))

    def _require_nothing(self, owner: str) -> None:
        if owner in self._holdings:
            raise AlreadyReserved(f"{owner} holds a reservation already")

    def _hold(self, owner: str, holding: _Holding) -> None:
        self._apply(holding, sign=1)
        self._holdings[owner] = holding

    def _require_pools(self, pools: Mapping[int, int]) -> None:
        for pool, need in pools.items():
            if need > self.pool_left[pool]:
                raise OverCommitted(f"wavelength {self.index.pools.name_of(pool)}", need, self.pool_left[pool])

    def release(self, owner: str) -> None:
        """Give back what ``owner`` holds; KeyError when that is nothing."""
        self._apply(self._holdings.pop(owner), sign=-1)

    def is_reserved(self, owner: str) -> bool:
        return owner in self._holdings

    def reserved_rate_millibps(self, owner: str) -> int:
        """The key rate that ``owner`` holds on each crossing; 0 when it holds none."""
        return self._holdings[owner].key_rate_millibps if owner in self._holdings else 0

    def reserve_compute(self, owner: str, needs: Mapping[str, Compute]) -> None:
        """Take compute at sites, all or nothing; errors as for :meth:`reserve`."""
        if owner in self._compute_holdings:
            raise AlreadyReserved(f"{owner} holds compute already")
        for site, need in needs.items():
            if need.vcpus < 0 or need.memory_gb < 0:
                raise ValueError(f"{owner}: vcpus and memory_gb must not be negative")
            vcpus, memory_gb = self.free_compute(site)
            if need.vcpus > vcpus:
                raise OverCommitted(f"{site} vcpus", need.vcpus, vcpus)
            if need.memory_gb > memory_gb:
                raise OverCommitted(f"{site} memory_gb", need.memory_gb, memory_gb)
        self._use_compute(needs, sign=1)
        self._compute_holdings[owner] = dict(needs)

    def release_compute(self, owner: str) -> None:
        """Give back the compute ``owner`` holds; KeyError when that is nothing."""
        self._use_compute(self._compute_holdings.pop(owner), sign=-1)

    def _use_compute(self, needs: Mapping[str, Compute], sign: int) -> None:
        for site, need in needs.items():
            number = self.index.site_number[site]
            vcpus, memory_gb = self._compute_used[number]
            self._compute_used[number] = (vcpus + sign * need.vcpus, memory_gb + sign * need.memory_gb)

    def _apply(self, holding: _Holding, sign: int) -> None:
        along, against = holding.bandwidth_kbps
        for arc in holding.arcs:
            self._reserved[arc] += sign * along
            self._reserved[arc ^ 1] += sign * against
        for section, rate in holding.keys:
            self._key_reserved[section] += sign * rate
        for pool, amount in holding.pools:
            self.pool_left[pool] -= sign * amount
        self._refresh(arc // 2 for arc in holding.arcs)

    def _refresh(self, channels: Iterable[int]) -> None:
        for number in channels:
            a, b = self.index.ends[number]
            up = self._channel_up[number] and not self._dark[number] and self._site_up[a] and self._site_up[b]
            self._works[number] = up
            usable = up and self._is_open[a] and self._is_open[b]
            for arc in (2 * number, 2 * number + 1):
                self.headroom[arc] = self.index.capacity_kbps[number] - self._reserved[arc] if usable else -1
