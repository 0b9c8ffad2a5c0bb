"""What operators ask for: slices, their connections, and what is required of each.

Plain values without I/O. Bandwidth is whole kbit/s and key rate whole millibit/s (thousandths of a bit per second),
so that what is reserved and released adds up exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from controller.model.recurrence import Recurrence
from controller.model.tunnel_profile import DEFAULT_SUITE, NO_PADDING, has_two_keys
from topologies.spec import EncryptionMode, SecurityClass

KEY_BITS = 256  # AES-256: what one rekey takes from the key source
# A key that cannot be replaced (the source is dry) serves for twenty rekeying times, and for a minute at least.
KEY_LIFETIME_REKEYS = 20
MIN_KEY_LIFETIME_S = 60.0
MAX_KEY_LIFETIME_S = 86_400.0  # what an agent accepts
DEFAULT_REKEY_S = 3.0  # paper 001, section 2: "refreshed at 3s intervals"


class Match(Enum):
    """Whether a channel of a higher class than asked for will do."""

    AT_LEAST = "at-least"
    EXACT = "exact"


class Protection(Enum):
    """What happens to a connection when an element of its path fails."""

    NONE = "none"
    RESTORATION = "restoration"
    ONE_TO_ONE = "1:1"
    ONE_PLUS_ONE = "1+1"

    @property
    def has_backup(self) -> bool:
        """Whether a second route is reserved beforehand."""
        return self in (Protection.ONE_TO_ONE, Protection.ONE_PLUS_ONE)


class Role(Enum):
    """The three connections of the papers' template (paper 002, section 2), per cell where a cell is an end."""

    CONTROL = "control"  # cell - core
    ACCESS = "access"  # cell - compute
    BACKHAUL = "backhaul"  # compute - core


@dataclass(frozen=True)
class SecurityRequirement:
    """One key source, or several for a hybrid key; the channels' class must satisfy the strongest of them."""

    sources: tuple[SecurityClass, ...]
    match: Match = Match.AT_LEAST
    always: tuple[SecurityClass, ...] = ()  # what the operator adds to keys of QKD; not asked for

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("security must name at least one level")
        if len(set(self.sources)) != len(self.sources):
            raise ValueError("security names a level twice")
        if len(self.sources) > 1 and SecurityClass.NONE in self.sources:
            raise ValueError("a hybrid key cannot contain 'none'")

    @property
    def level(self) -> SecurityClass:
        """The class that every channel of the path must reach."""
        return max(self.sources)

    @property
    def added(self) -> tuple[SecurityClass, ...]:
        """What the operator's policy adds to what is asked for."""
        is_qkd = SecurityClass.QKD in self.sources
        return tuple(method for method in self.always if is_qkd and method not in self.sources)

    @property
    def methods(self) -> tuple[SecurityClass, ...]:
        """Those whose keys are combined, asked for or added."""
        return (*self.sources, *self.added)

    @property
    def key_source(self) -> str:
        """The name the KMS knows: ``qra``, or ``qkd+qra`` for a hybrid; strongest first."""
        return "+".join(s.label for s in sorted(self.methods, reverse=True))

    @property
    def is_encrypted(self) -> bool:
        return self.level is not SecurityClass.NONE

    def is_met_by(self, offered: SecurityClass) -> bool:
        """Whether a channel of class ``offered`` may carry the connection."""
        return offered is self.level if self.match is Match.EXACT else offered >= self.level


@dataclass(frozen=True)
class ConnectionSpec:
    """What is asked of a connection. ``bandwidth_kbps`` is that from its source to its destination."""

    security: SecurityRequirement
    bandwidth_kbps: int
    latency_us: int
    rekey_s: float = DEFAULT_REKEY_S
    suite: str = DEFAULT_SUITE
    padding: str = NO_PADDING
    protection: Protection = Protection.RESTORATION
    fallback: tuple[SecurityClass, ...] = ()
    exclude_sites: frozenset[str] = frozenset()
    exclude_channels: frozenset[str] = frozenset()
    include_sites: tuple[str, ...] = ()
    include_channels: tuple[str, ...] = ()
    max_hops: int | None = None
    priority: int = 0  # the higher is served first when not everything fits after a failure
    revert_after_s: float | None = None  # back to the original path when it has been healthy for so long; None: never
    reverse_bandwidth_kbps: int | None = None  # from the destination to the source; None: the same
    hosts_seal: bool = True  # False: the cards of the wavelengths alone do (EncryptionMode.CHANNEL); not asked for

    @property
    def rates_kbps(self) -> tuple[int, int]:
        """What may go from the source to the destination, and back."""
        reverse = self.reverse_bandwidth_kbps
        return self.bandwidth_kbps, self.bandwidth_kbps if reverse is None else reverse

    @property
    def reserved_kbps(self) -> tuple[int, int]:
        """What is reserved on every channel in the direction of the route, and against it.

        Under 1:1 the greater both ways: from where a lane breaks, packets go back on it.
        """
        rates = self.rates_kbps
        return (max(rates), max(rates)) if self.protection is Protection.ONE_TO_ONE else rates

    @property
    def is_sealed_by_hosts(self) -> bool:
        """Whether a tunnel from host to host seals it."""
        return self.security.is_encrypted and self.hosts_seal

    @property
    def takes_qkd_keys(self) -> bool:
        """Whether its own tunnel has keys of QKD, for which there must be a relay."""
        return self.hosts_seal and SecurityClass.QKD in self.security.sources

    @property
    def key_rate_millibps(self) -> int:
        """Secret key the connection eats, in thousandths of a bit per second; 0 unless QKD supplies it."""
        if not self.takes_qkd_keys:
            return 0
        # Of several sources the strongest gives one of a split suite's two keys, the others give the other.
        keys = 2 if has_two_keys(self.suite) and len(self.security.methods) == 1 else 1
        return round(keys * KEY_BITS * 1000 / self.rekey_s)

    @property
    def key_lifetime_s(self) -> float:
        """How long a key may serve when it cannot be replaced."""
        return min(MAX_KEY_LIFETIME_S, max(MIN_KEY_LIFETIME_S, KEY_LIFETIME_REKEYS * self.rekey_s))


def at_level(spec: ConnectionSpec, level: SecurityClass) -> ConnectionSpec:
    """The same asked at another single level: the key source follows it."""
    return replace(spec, security=replace(spec.security, sources=(level,)))


def spec_in_mode(
    spec: ConnectionSpec, encryption: EncryptionMode, always: tuple[SecurityClass, ...] = ()
) -> ConnectionSpec:
    """The same as it is carried out on a network where that seals, and these methods are in every key of QKD."""
    return replace(spec, hosts_seal=encryption.hosts_seal, security=replace(spec.security, always=always))


@dataclass(frozen=True)
class SNssai:
    """Single network slice selection assistance information (3GPP TS 23.003, clause 28.4)."""

    sst: int
    sd: str | None = None


@dataclass(frozen=True)
class Compute:
    """What an application needs of a site."""

    vcpus: int = 0
    memory_gb: int = 0

    def __add__(self, other: Compute) -> Compute:
        return Compute(self.vcpus + other.vcpus, self.memory_gb + other.memory_gb)

    def beyond(self, other: Compute) -> Compute:
        """What of it ``other`` does not cover."""
        return Compute(max(0, self.vcpus - other.vcpus), max(0, self.memory_gb - other.memory_gb))


@dataclass(frozen=True)
class ComputeRequest:
    """Where the application runs and what it needs; ``site`` None lets the orchestrator choose."""

    site: str | None
    vcpus: int
    memory_gb: int


@dataclass(frozen=True)
class ConnectionRequest:
    """One connection of a slice with both ends known: what path computation is asked."""

    slice_name: str
    name: str
    role: Role | None  # None: of no template
    src: str
    dst: str
    spec: ConnectionSpec

    @property
    def id(self) -> str:
        return f"{self.slice_name}/{self.name}"

    @property
    def key(self) -> str:
        """Under which the slice request has its specification."""
        return self.name if self.role is None else self.role.value


@dataclass(frozen=True)
class ThreeRoles:
    """The template of papers 001 and 002: every cell with the core and with the compute site, that with the core."""

    cells: tuple[str, ...]
    compute: ComputeRequest
    core: str
    by_role: Mapping[Role, ConnectionSpec] = field(hash=False)

    @property
    def is_open(self) -> bool:
        """Whether the orchestrator chooses the compute site."""
        return self.compute.site is None

    @property
    def site(self) -> str | None:
        """The compute site asked for."""
        return self.compute.site

    @property
    def ends(self) -> tuple[str, ...]:
        """The sites that are named as ends, the compute site apart."""
        return (*self.cells, self.core)

    @property
    def specs(self) -> dict[str, ConnectionSpec]:
        return {role.value: spec for role, spec in self.by_role.items()}

    def with_spec(self, key: str, spec: ConnectionSpec) -> ThreeRoles:
        return replace(self, by_role={**self.by_role, Role(key): spec})

    def placed_at(self, site: str | None) -> ThreeRoles:
        return replace(self, compute=replace(self.compute, site=site))

    def connections(self, slice_name: str, site: str | None) -> tuple[ConnectionRequest, ...]:
        """Control and access per cell, one backhaul; none before the compute site is known."""
        if site is None:
            return ()
        per_cell = tuple(
            ConnectionRequest(slice_name, f"{cell}-{suffix}", role, cell, dst, self.by_role[role])
            for cell in self.cells
            for role, suffix, dst in ((Role.CONTROL, "control", self.core), (Role.ACCESS, "compute", site))
        )
        backhaul = self.by_role[Role.BACKHAUL]
        return (*per_cell, ConnectionRequest(slice_name, "compute-core", Role.BACKHAUL, site, self.core, backhaul))

    def compute_at(self, site: str | None) -> dict[str, Compute]:
        return {} if site is None else {site: Compute(self.compute.vcpus, self.compute.memory_gb)}


@dataclass(frozen=True)
class NamedConnection:
    """A connection between any two sites, with what its application needs at either end."""

    name: str
    src: str
    dst: str
    spec: ConnectionSpec
    src_compute: Compute = Compute()
    dst_compute: Compute = Compute()


@dataclass(frozen=True)
class AnyShape:
    """Connections as they are listed, each of another name. Nothing is left to be placed: ``site`` is always None."""

    listed: tuple[NamedConnection, ...]

    is_open = False
    site = None

    @property
    def ends(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(end for c in self.listed for end in (c.src, c.dst)))

    @property
    def specs(self) -> dict[str, ConnectionSpec]:
        return {c.name: c.spec for c in self.listed}

    def with_spec(self, key: str, spec: ConnectionSpec) -> AnyShape:
        return replace(self, listed=tuple(replace(c, spec=spec) if c.name == key else c for c in self.listed))

    def placed_at(self, _site: str | None) -> AnyShape:
        return self

    def connections(self, slice_name: str, _site: str | None) -> tuple[ConnectionRequest, ...]:
        return tuple(ConnectionRequest(slice_name, c.name, None, c.src, c.dst, c.spec) for c in self.listed)

    def compute_at(self, _site: str | None) -> dict[str, Compute]:
        """What the connections need at each site, together."""
        needs: dict[str, Compute] = {}
        for c in self.listed:
            for end, need in ((c.src, c.src_compute), (c.dst, c.dst_compute)):
                if need != Compute():
                    needs[end] = needs.get(end, Compute()) + need
        return needs


@dataclass(frozen=True)
class SliceRequest:
    """A validated request. Whoever plans needs nothing of its shape but what both shapes have."""

    name: str
    snssai: SNssai
    shape: ThreeRoles | AnyShape
    start: float | None = None  # seconds since the epoch; None: at once
    end: float | None = None  # when it goes by itself; None: never
    recurrence: Recurrence | None = None  # when it comes and goes instead, again and again

    @property
    def specs(self) -> dict[str, ConnectionSpec]:
        """What is asked, by the key under ``connections`` in the request: a role, or a connection's name."""
        return self.shape.specs

    def with_spec(self, key: str, spec: ConnectionSpec) -> SliceRequest:
        return replace(self, shape=self.shape.with_spec(key, spec))

    def in_mode(self, encryption: EncryptionMode, always: tuple[SecurityClass, ...] = ()) -> SliceRequest:
        """The same as it is carried out on a network where that seals, and these are in every key of QKD."""
        request = self
        for key, spec in self.specs.items():
            request = request.with_spec(key, spec_in_mode(spec, encryption, always))
        return request

    def placed_at(self, site: str | None) -> SliceRequest:
        """The same with its compute at that site; ``site`` None leaves the choice open. No matter to any shape."""
        return replace(self, shape=self.shape.placed_at(site))


def connections_of(request: SliceRequest, compute_site: str | None) -> tuple[ConnectionRequest, ...]:
    """The connections of a slice once its compute site, if it has one, is known."""
    return request.shape.connections(request.name, compute_site)


def compute_of(request: SliceRequest, compute_site: str | None) -> dict[str, Compute]:
    """What a slice takes of each site once its compute site, if it has one, is known."""
    return request.shape.compute_at(compute_site)
