"""What operators ask for: slices, their connections, and what is required of each.

Plain values without I/O. Bandwidth is whole kbit/s and key rate whole millibit/s (thousandths of a bit per second),
so that what is reserved and released adds up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from controller.model.tunnel_profile import DEFAULT_SUITE, NO_PADDING, has_two_keys
from topologies.spec import SecurityClass

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
    """The three connections of a slice (paper 002, section 2), per cell where a cell is an end."""

    CONTROL = "control"  # cell - core
    ACCESS = "access"  # cell - compute
    BACKHAUL = "backhaul"  # compute - core


@dataclass(frozen=True)
class SecurityRequirement:
    """One key source, or several for a hybrid key; the channels' class must satisfy the strongest of them."""

    sources: tuple[SecurityClass, ...]
    match: Match = Match.AT_LEAST

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
    def key_source(self) -> str:
        """The name the KMS knows: ``qra``, or ``qkd+qra`` for a hybrid; strongest first."""
        return "+".join(s.label for s in sorted(self.sources, reverse=True))

    @property
    def is_encrypted(self) -> bool:
        return self.level is not SecurityClass.NONE

    def is_met_by(self, offered: SecurityClass) -> bool:
        """Whether a channel of class ``offered`` may carry the connection."""
        return offered is self.level if self.match is Match.EXACT else offered >= self.level


@dataclass(frozen=True)
class ConnectionSpec:
    """What is asked of one of a slice's three connections."""

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

    @property
    def key_rate_millibps(self) -> int:
        """Secret key the connection eats, in thousandths of a bit per second; 0 unless QKD supplies it."""
        if SecurityClass.QKD not in self.security.sources:
            return 0
        # Of several sources the strongest gives one of a split suite's two keys, the others give the other.
        keys = 2 if has_two_keys(self.suite) and len(self.security.sources) == 1 else 1
        return round(keys * KEY_BITS * 1000 / self.rekey_s)

    @property
    def key_lifetime_s(self) -> float:
        """How long a key may serve when it cannot be replaced."""
        return min(MAX_KEY_LIFETIME_S, max(MIN_KEY_LIFETIME_S, KEY_LIFETIME_REKEYS * self.rekey_s))


def at_level(spec: ConnectionSpec, level: SecurityClass) -> ConnectionSpec:
    """The same asked at another single level: the key source follows it."""
    return replace(spec, security=replace(spec.security, sources=(level,)))


@dataclass(frozen=True)
class SNssai:
    """Single network slice selection assistance information (3GPP TS 23.003, clause 28.4)."""

    sst: int
    sd: str | None = None


@dataclass(frozen=True)
class ComputeRequest:
    """Where the application runs and what it needs; ``site`` None lets the orchestrator choose."""

    site: str | None
    vcpus: int
    memory_gb: int


@dataclass(frozen=True)
class SliceRequest:
    """A validated request; ``connections`` holds one spec per role."""

    name: str
    snssai: SNssai
    cells: tuple[str, ...]
    compute: ComputeRequest
    core: str
    connections: dict[Role, ConnectionSpec] = field(hash=False)
    start: float | None = None  # seconds since the epoch; None: at once
    end: float | None = None  # when it goes by itself; None: never


@dataclass(frozen=True)
class ConnectionRequest:
    """One connection of a slice with both ends known: what path computation is asked."""

    slice_name: str
    name: str
    role: Role
    src: str
    dst: str
    spec: ConnectionSpec

    @property
    def id(self) -> str:
        return f"{self.slice_name}/{self.name}"


def connections_of(request: SliceRequest, compute_site: str) -> tuple[ConnectionRequest, ...]:
    """The connections of a slice once its compute site is known: control and access per cell, one backhaul."""
    per_cell = tuple(
        ConnectionRequest(request.name, f"{cell}-{suffix}", role, cell, dst, request.connections[role])
        for cell in request.cells
        for role, suffix, dst in ((Role.CONTROL, "control", request.core), (Role.ACCESS, "compute", compute_site))
    )
    backhaul = request.connections[Role.BACKHAUL]
    return (
        *per_cell,
        ConnectionRequest(request.name, "compute-core", Role.BACKHAUL, compute_site, request.core, backhaul),
    )
