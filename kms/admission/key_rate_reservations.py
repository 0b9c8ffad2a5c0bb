"""Key rate as a resource: applications that reserve it, quotas, and who comes first when key is scarce.

Names are those of ETSI GS QKD 015 v2.1.1 (``qkd_app``, ``app_qos``, ``expected_consumption``). Pure: no clock, no I/O.
What a QKD section can give is asked of :class:`KeySupply`; other sources are limited by computing alone, so that a
reservation of theirs is only kept to its maximum.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from kms.admission.token_bucket import Bucket
from kms.errors import ExhaustedError, KmsError
from kms.keys.key import UNCONSTRAINED, KeySource, RoutingConstraint, Source
from kms.qkdnet.pad_account import PadAccount

# What authenticates a key on its way over a section: a Poly1305 key that is used once (kms.qkdnet.qkd_network).
TAG_BITS = 256
KEY_BITS = 256
# So much of what is promised to applications of higher priority is kept back for them.
PROTECTED_S = 3.0
MIN_BURST_BITS = 16 * KEY_BITS
LOWEST_PRIORITY = 0  # of whoever has no application


class AdmissionError(KmsError):
    """The rate that was asked for is not there; ``offer_bps`` is what could be promised (ETSI 004: counter-offer)."""

    def __init__(self, message: str, offer_bps: float) -> None:
        super().__init__(message)
        self.offer_bps = offer_bps


class AppStatus(Enum):
    """ETSI GS QKD 015, app_status."""

    ON = "ON"
    DISCONNECTED = "DISCONNECTED"  # its QKD links give no key now
    OUT_OF_TIME = "OUT_OF_TIME"  # they give less than was promised


@dataclass(frozen=True)
class AppQos:
    """``min_bandwidth`` is promised, above ``max_bandwidth`` nothing is given; bits per second. ``ttl`` in seconds."""

    min_bandwidth: float
    max_bandwidth: float
    jitter: float | None = None
    ttl: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_bandwidth <= self.max_bandwidth:
            raise ValueError("min_bandwidth must lie between 0 and max_bandwidth")


@dataclass(frozen=True)
class QkdApp:
    """A reservation: keys of one source between one master and its slaves."""

    app_id: uuid.UUID
    server_app_id: str
    client_app_id: tuple[str, ...]
    source: KeySource
    sites: tuple[str, ...]  # the master's, then those of the slaves
    app_qos: AppQos
    app_priority: int = 1
    constraint: RoutingConstraint = UNCONSTRAINED
    owner: str = ""  # who looks after it, if anybody does


class KeySupply(Protocol):
    """What QKD gives between sites.

    It is :class:`kms.qkdnet.qkd_network.QkdNetwork` through :class:`kms.admission.qkd_capacity.QkdSupply`.
    """

    def epoch(self) -> int:
        """Another number than before when routes may have changed."""

    def sustained(
        self,
        a: str,
        b: str,
        constraint: RoutingConstraint = UNCONSTRAINED,
        needed_bps: float = 0.0,
        taken_bps: Mapping[str, float] | None = None,
    ) -> tuple[str, ...]:
        """Those of the route that can give ``needed_bps`` in the long run beside what is taken of each section."""

    def skr_bps(self, section: str) -> float:
        """What the section can sustain now."""

    def available_bits(self, section: str) -> int:
        """What it has in store."""


class Applications:
    """Every reservation and quota of the KMS."""

    def __init__(self, supply: KeySupply, quotas_bps: Mapping[str, float], default_quota_bps: float | None) -> None:
        self._supply = supply
        self._quotas_bps = dict(quotas_bps)
        self._default_quota_bps = default_quota_bps
        self._apps: dict[uuid.UUID, QkdApp] = {}
        # What each may take at all, and what of it at its priority.
        self._app_buckets: dict[uuid.UUID, Bucket] = {}
        self._booked_buckets: dict[uuid.UUID, Bucket] = {}
        self._sae_buckets: dict[str, Bucket] = {}
        self._by_ends: dict[tuple[str, str, KeySource], QkdApp] = {}
        # Which route each takes, and what is promised on each section by priority; made anew when an application or a
        # route has changed.
        self._routes: dict[uuid.UUID, dict[str, int]] = {}
        self._loads: dict[str, dict[int, float]] = {}
        self._loads_of: int | None = None
        self.refused = 0

    def __iter__(self) -> Iterator[QkdApp]:
        return iter(tuple(self._apps.values()))

    def __len__(self) -> int:
        return len(self._apps)

    def find(self, app_id: uuid.UUID) -> QkdApp | None:
        return self._apps.get(app_id)

    # Admission

    def admit(self, app: QkdApp, now: float) -> None:
        """Reserve what the application asks for, or change what it has; AdmissionError with nothing changed."""
        offer = self.offer_bps(app)
        if app.app_qos.min_bandwidth > offer:
            raise AdmissionError(
                f"{app.app_qos.min_bandwidth:.0f} bit/s between {' and '.join(app.sites)} is more than the "
                f"{offer:.0f} bit/s that can be sustained beside what is reserved",
                offer,
            )
        self._apps[app.app_id] = app
        self._index()
        self._app_buckets[app.app_id] = Bucket.full(app.app_qos.max_bandwidth, MIN_BURST_BITS, now)
        self._booked_buckets.pop(app.app_id, None)
        if app.app_qos.min_bandwidth > 0:
            self._booked_buckets[app.app_id] = Bucket.full(app.app_qos.min_bandwidth, MIN_BURST_BITS, now)

    def release(self, app_id: uuid.UUID) -> QkdApp | None:
        self._app_buckets.pop(app_id, None)
        self._booked_buckets.pop(app_id, None)
        released = self._apps.pop(app_id, None)
        self._index()
        return released

    def offer_bps(self, app: QkdApp) -> float:
        """The most that could be promised to the application now, what it has already included; bits per second."""
        if Source.QKD not in app.source.parts:
            return app.app_qos.max_bandwidth
        offer = float("inf")
        taken = self._taken_bps(app)
        crossings = self._route_of(app, taken)
        if not crossings and len(set(app.sites)) > 1:
            return 0.0
        for section, count in crossings.items():
            free = self._supply.skr_bps(section) - taken.get(section, 0.0)
            offer = min(offer, max(0.0, free) / _on_the_line(count))
        return offer

    def expected_consumption_bps(self, section: str) -> float:
        """What the reservations cost a section (ETSI 015, expected_consumption)."""
        return self._load_bps(section, LOWEST_PRIORITY)

    def _load_bps(self, section: str, least_priority: int) -> float:
        loads = self._section_loads().get(section, {})
        return sum(load for priority, load in loads.items() if priority >= least_priority)

    def crossings(self, app: QkdApp) -> dict[str, int]:
        """How often one key of the application crosses each section."""
        if self._apps.get(app.app_id) != app:
            return self._route_of(app, self._taken_bps(app))
        self._find_routes()
        return self._routes[app.app_id]

    def status(self, app: QkdApp) -> AppStatus:
        crossings = self.crossings(app)
        if Source.QKD in app.source.parts and len(set(app.sites)) > 1:
            if not crossings or any(self._supply.skr_bps(section) <= 0 for section in crossings):
                return AppStatus.DISCONNECTED
            if any(self._load_bps(s, _least_priority_beside(app)) > self._supply.skr_bps(s) for s in crossings):
                return AppStatus.OUT_OF_TIME
        return AppStatus.ON

    def _section_loads(self) -> dict[str, dict[int, float]]:
        self._find_routes()
        return self._loads

    def _find_routes(self) -> None:
        """One after the other, who has priority first: each takes the best route on which its rate is still free."""
        epoch = self._supply.epoch()
        if epoch == self._loads_of:
            return
        self._routes, self._loads = {}, {}
        taken: dict[str, float] = {}
        for app in sorted(self._apps.values(), key=lambda app: -app.app_priority):
            route = self._routes[app.app_id] = self._route_of(app, taken)
            for section, count in route.items():
                load = _on_the_line(app.app_qos.min_bandwidth) * count
                loads = self._loads.setdefault(section, {})
                loads[app.app_priority] = loads.get(app.app_priority, 0.0) + load
                taken[section] = taken.get(section, 0.0) + load
        self._loads_of = epoch

    def _route_of(self, app: QkdApp, taken: Mapping[str, float]) -> dict[str, int]:
        """The crossings that one key of the application takes beside what is taken by others."""
        counts: dict[str, int] = {}
        if Source.QKD not in app.source.parts:
            return counts
        needed, taken = _on_the_line(app.app_qos.min_bandwidth), dict(taken)
        for site in app.sites[1:]:
            for section in self._supply.sustained(app.sites[0], site, app.constraint, needed, taken):
                counts[section] = counts.get(section, 0) + 1
                taken[section] = taken.get(section, 0.0) + needed
        return counts

    def _taken_bps(self, app: QkdApp) -> dict[str, float]:
        """What is promised to all other applications that do not give way to this one, by section."""
        least = _least_priority_beside(app)
        taken = {section: self._load_bps(section, least) for section in self._section_loads()}
        own = self._apps.get(app.app_id)
        if own is not None and own.app_priority >= least:
            for section, count in self._routes[app.app_id].items():
                taken[section] -= _on_the_line(own.app_qos.min_bandwidth) * count
        return taken

    def _index(self) -> None:
        self._loads_of = None
        # Where several applications join the same ends, the one of the highest priority counts.
        self._by_ends = {
            (caller, slave, app.source): app
            for app in sorted(self._apps.values(), key=lambda app: app.app_priority)
            for caller, slave in itertools.permutations({app.server_app_id, *app.client_app_id}, 2)
        }

    # Every request

    def quota_bps(self, sae: str) -> float | None:
        return self._quotas_bps.get(sae, self._default_quota_bps)

    def is_booked(self, caller: str, slave: str, source: KeySource) -> bool:
        """Whether the operator gives the two an application: what is kept for those is theirs."""
        app = self._by_ends.get((caller, slave, source))
        return app is not None and app.app_priority > LOWEST_PRIORITY

    def account(self, payer: str, peer: str, source: KeySource, now: float) -> KeyAccount:
        """By what priority and quota ``payer`` takes pads for keys of its own and ``peer``'s.

        Of an application it takes what it has reserved (min_bandwidth), as long as that lasts, at the priority of the
        application, and anything more like somebody without one.
        """
        app = self._by_ends.get((payer, peer, source))
        booked = None if app is None else self._booked_buckets.get(app.app_id)
        is_within = app is not None and booked is not None and booked.has_any(now)
        return _Account(self, payer, app.app_priority if app is not None and is_within else LOWEST_PRIORITY, now)

    def background_account(self, now: float) -> KeyAccount:
        """That of the pools: they take what is promised to nobody, and whoever takes their keys pays for those."""
        return _Account(self, None, LOWEST_PRIORITY, now)

    def order(self, caller: str, slaves: Sequence[str], source: KeySource, bits: int, now: float) -> None:
        """Count keys of so many bits that the caller asks for; ExhaustedError when it may not have them now.

        They count to its quota once for each slave, and to the maximum of each application with one of the slaves.
        """
        apps = {app.app_id: app for slave in slaves if (app := self._by_ends.get((caller, slave, source)))}
        for app in apps.values():
            if not self._app_buckets[app.app_id].has_any(now):
                self.refused += 1
                most = app.app_qos.max_bandwidth
                raise ExhaustedError(f"the application takes more than its max_bandwidth, {most:.0f}")
        self.charge(caller, bits * len(slaves), now)
        for app_id in apps:
            self._app_buckets[app_id].take(bits, now)
            if app_id in self._booked_buckets:
                self._booked_buckets[app_id].take(bits, now)

    def charge(self, payer: str | None, bits: int, now: float) -> None:
        """Count to the payer's quota; ExhaustedError when it has used that up."""
        quota_bps = None if payer is None else self.quota_bps(payer)
        if payer is None or quota_bps is None or not bits:
            return
        bucket = self._sae_buckets.setdefault(payer, Bucket.full(quota_bps, MIN_BURST_BITS, now))
        if not bucket.take(bits, now):
            self.refused += 1
            raise ExhaustedError(f"SAE {payer} has used up its quota of {quota_bps:.0f} bit/s")

    def leave_what_is_protected(self, priority: int, crossings: Mapping[str, int], bits_each: int) -> None:
        """ExhaustedError when what is to be taken of a section would cut into what is promised at higher priority."""
        for section, count in crossings.items():
            loads = self._section_loads().get(section, {})
            protected = PROTECTED_S * sum(load for other, load in loads.items() if other > priority)
            if protected and self._supply.available_bits(section) - bits_each * count < protected:
                self.refused += 1
                raise ExhaustedError(f"what QKD section {section} has left is kept for applications of higher priority")


class KeyAccount(PadAccount, Protocol):
    """Who pays for keys, and at what priority."""

    @property
    def priority(self) -> int: ...

    def charge(self, bits: int) -> None:
        """Count pads that the pools have taken for keys which are used now. ExhaustedError beyond a quota."""


class _Account(NamedTuple):
    applications: Applications
    payer: str | None
    priority: int
    now: float

    def debit(self, crossings: Mapping[str, int], bits_each: int) -> None:
        self.applications.leave_what_is_protected(self.priority, crossings, bits_each)
        self.charge(bits_each * sum(crossings.values()))

    def charge(self, bits: int) -> None:
        self.applications.charge(self.payer, bits, self.now)


class _Free:
    priority = LOWEST_PRIORITY

    def debit(self, crossings: Mapping[str, int], bits_each: int) -> None:
        """Nobody is asked."""

    def charge(self, bits: int) -> None:
        """Nobody is asked."""


FREE: KeyAccount = _Free()


def _least_priority_beside(app: QkdApp) -> int:
    """What clients reserve for themselves, at LOWEST_PRIORITY, gives way to what the operator books."""
    return LOWEST_PRIORITY + 1 if app.app_priority > LOWEST_PRIORITY else LOWEST_PRIORITY


def _on_the_line(bits: float) -> float:
    """What keys cost a section: their own bits, and a tag for each key if it travels alone."""
    return bits * (KEY_BITS + TAG_BITS) / KEY_BITS
