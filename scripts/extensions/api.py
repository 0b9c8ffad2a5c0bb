"""What an extension is given and what it answers: frozen values alone, without I/O.

Units stand in the names: kbit/s (``_kbps``), thousandths of a bit per second (``_millibps``), microseconds (``_us``),
seconds (``_s``). Security levels are ``none``, ``dh``, ``qra`` and ``qkd``, the weakest first (:data:`LEVELS`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

EXTENSION_API = 1
"""An extension says in ``api`` which version of this module it was written for."""

LEVELS = ("none", "dh", "qra", "qkd")


@dataclass(frozen=True)
class SiteView:
    """A site. New paths may not cross one that is not ``is_open``, as its switch is away."""

    name: str
    tier: str
    vcpus: int
    memory_gb: int
    free_vcpus: int
    free_memory_gb: int
    is_up: bool
    is_open: bool


@dataclass(frozen=True)
class ChannelView:
    """A circuit between two sites. ``free_kbps`` is what is left from a to b, and from b to a.

    ``is_up``: it works, and so do both its sites; a dark one is not up. ``latency_us`` is one way.
    """

    id: str
    a: str
    b: str
    wavelength: str
    security: str
    capacity_mbps: float
    capacity_kbps: int
    free_kbps: tuple[int, int]
    length_km: float
    latency_us: int
    risk_groups: tuple[str, ...]  # whose failure takes it down, its wavelength among them
    is_up: bool
    is_dark: bool

    @property
    def level(self) -> int:
        """The place of its class in :data:`LEVELS`."""
        return LEVELS.index(self.security)

    def other(self, site: str) -> str:
        """The far end as seen from ``site``."""
        return self.b if site == self.a else self.a

    def free_from(self, site: str) -> int:
        """What is left in the direction away from ``site``, kbit/s."""
        return self.free_kbps[0 if site == self.a else 1]


@dataclass(frozen=True)
class SectionView:
    """A QKD section between two nodes. Of one that is not ``is_known`` nobody has told the rate."""

    id: str
    a: str
    b: str
    free_millibps: int
    is_usable: bool
    is_known: bool


@dataclass(frozen=True)
class QkdLinkView:
    """What relays keys between two sites, over sections in this order."""

    id: str
    a: str
    b: str
    sections: tuple[str, ...]


@dataclass(frozen=True)
class NetworkView:
    """The network at one moment: what there is, what is up, what is left."""

    name: str
    sites: tuple[SiteView, ...]
    channels: tuple[ChannelView, ...]
    sections: tuple[SectionView, ...]
    qkd_links: tuple[QkdLinkView, ...]

    @cached_property
    def by_id(self) -> dict[str, ChannelView]:
        """The channels by id."""
        return {channel.id: channel for channel in self.channels}

    @cached_property
    def usable_at(self) -> dict[str, tuple[ChannelView, ...]]:
        """Per site the channels there that new paths may take."""
        is_open = {site.name for site in self.sites if site.is_up and site.is_open}
        found: dict[str, list[ChannelView]] = {site.name: [] for site in self.sites}
        for channel in self.channels:
            if channel.is_up and not channel.is_dark and channel.a in is_open and channel.b in is_open:
                found[channel.a].append(channel)
                found[channel.b].append(channel)
        return {site: tuple(channels) for site, channels in found.items()}


@dataclass(frozen=True)
class ConnectionAsk:
    """What is asked of a connection. Every channel of its paths must satisfy ``level``.

    ``sources`` are the key sources, several for a hybrid key; ``key_rate_millibps`` is 0 unless QKD is among them.
    ``reserved_kbps`` is what each path takes of every channel in its direction, and against it.
    """

    id: str
    src: str
    dst: str
    level: str
    sources: tuple[str, ...]
    is_exact: bool
    bandwidth_kbps: int
    reverse_bandwidth_kbps: int | None
    reserved_kbps: tuple[int, int]
    latency_us: int
    key_rate_millibps: int
    rekey_s: float
    suite: str
    protection: str
    priority: int
    exclude_sites: tuple[str, ...]
    exclude_channels: tuple[str, ...]
    include_sites: tuple[str, ...]
    include_channels: tuple[str, ...]
    max_hops: int | None
    fallback: tuple[str, ...]

    @property
    def has_backup(self) -> bool:
        """Whether a second path is reserved beforehand."""
        return self.protection in ("1:1", "1+1")

    def admits(self, channel: ChannelView) -> bool:
        """Whether the class of ``channel`` will do."""
        wanted = LEVELS.index(self.level)
        return channel.level == wanted if self.is_exact else channel.level >= wanted

    def fits(self, channel: ChannelView, sender: str) -> bool:
        """Whether ``channel`` has the bandwidth left, entered at ``sender``."""
        along, against = self.reserved_kbps
        return channel.free_from(sender) >= along and channel.free_from(channel.other(sender)) >= against


@dataclass(frozen=True)
class Placement:
    """One place where a slice could compute (None: nothing to be chosen), with the connections that it then has."""

    site: str | None
    connections: tuple[ConnectionAsk, ...]


@dataclass(frozen=True)
class SliceAsk:
    """What is asked for a slice: one of the placements, and paths for all its connections together."""

    name: str
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class Route:
    """A path by its channels in order, from the connection's source to its destination.

    ``key_links`` are the QKD links over which its keys are relayed, in order; None: those of the controller's choice.
    """

    channels: tuple[str, ...]
    key_links: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ConnectionPlan:
    """The paths of one connection; ``backup`` under 1:1 and 1+1 alone. ``is_proven``: it is known to be the best."""

    id: str
    working: Route
    backup: Route | None = None
    is_proven: bool = False


@dataclass(frozen=True)
class SlicePlan:
    """Where the slice computes and the paths of its connections, which fit together."""

    site: str | None
    connections: tuple[ConnectionPlan, ...]
    is_proven: bool = False


# --- healing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PathView:
    """A path that a connection holds. ``is_up``: all its channels are."""

    channels: tuple[str, ...]
    is_up: bool


@dataclass(frozen=True)
class Impact:
    """What a failure has done to one connection: ``kind`` is one of the impacts of docs/how-to/own-algorithm.md.

    ``since_s`` is how long ago this policy was first asked about it, ``carries``: packets still pass.
    """

    connection: ConnectionAsk
    kind: str
    paths: tuple[PathView, ...]
    carries: bool
    since_s: float


@dataclass(frozen=True)
class Move:
    """Give the connection a path that works, found by the path computation in force."""

    connection: str


@dataclass(frozen=True)
class Wait:
    """Leave the connection on its path, and ask again after ``for_s`` seconds."""

    connection: str
    for_s: float


@dataclass(frozen=True)
class Fallback:
    """Give up the path; the first fallback that the request lists is used, as nothing at the level asked for fits."""

    connection: str


@dataclass(frozen=True)
class Degrade:
    """Give up the path and say why."""

    connection: str
    why: str


Verdict = Move | Wait | Fallback | Degrade


# --- key sources --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceOffer:
    """The first message of an exchange, and what its maker needs to finish it. Both in hexadecimal digits."""

    message: str
    state: str = field(repr=False)


@dataclass(frozen=True)
class SourceAnswer:
    """The second message, and the secret that both ends then have: 32 to 64 octets. Both in hexadecimal digits."""

    message: str
    secret: str = field(repr=False)


# --- cipher suites ------------------------------------------------------------------------------------------------

SUITE_NONCE_BYTES = 12
SUITE_ICV_BYTES = 16
"""What a suite's seal is longer than the plaintext by, always."""


@dataclass(frozen=True)
class SuiteVector:
    """A test vector: ``sealed`` is the ciphertext and the 16 octets of integrity check value after it."""

    key: bytes
    nonce: bytes
    aad: bytes
    plaintext: bytes
    sealed: bytes


# --- QKD sections -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LineView:
    """A QKD section's fibre and devices: docs/reference/topology-file.md says what each field means."""

    id: str
    a: str
    b: str
    protocol: str
    length_km: float
    attenuation_db_per_km: float
    pulse_rate_hz: float
    detector_efficiency: float
    dark_count_probability: float
    misalignment: float
    afterpulse_probability: float
    dead_time_us: float
    error_correction_efficiency: float
    abort_qber: float


@dataclass(frozen=True)
class AttackView:
    """``intercept-resend``, ``photon-number-splitting`` or ``beam-splitting`` of so large a share of the pulses."""

    kind: str
    fraction: float


@dataclass(frozen=True)
class Forecast:
    """What a section will give: secret bits per second, and the error rate that its ends will see."""

    secret_bps: float
    qber: float


@dataclass(frozen=True)
class Block:
    """What a step made: each end's secret octets in hexadecimal digits, disclosed bits, and errors among these."""

    alice: str = field(repr=False)
    bob: str = field(repr=False)
    sample_bits: int
    errors: int


# --- experiments --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Impair:
    """Lose, delay and scatter packets on a channel, in the direction ``a-b``, ``b-a`` or both (None)."""

    channel: str
    direction: str | None = None
    loss_pct: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0


@dataclass(frozen=True)
class Mend:
    """Undo every :class:`Impair` on a channel."""

    channel: str


@dataclass(frozen=True)
class Inject:
    """Do one of the built-in faults, as a scenario's ``do``."""

    do: str
    target: str


@dataclass(frozen=True)
class Lift:
    """Undo a built-in fault by its inverse, as a scenario's ``do``."""

    do: str
    target: str


@dataclass(frozen=True)
class Execute:
    """Run a command in the host at a site; it may take 10 s, and must end with status 0."""

    site: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Say:
    """Note a sentence among the findings."""

    text: str


FaultAction = Impair | Mend | Inject | Lift
StepAction = Impair | Mend | Inject | Lift | Execute | Say


@dataclass(frozen=True)
class Effects:
    """What a fault does to the network: channels that carry nothing any more, and those that carry worse."""

    dead: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConnectionLook:
    """How a connection stands at the moment of a step."""

    id: str
    state: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class ProbeSample:
    """One probe of one connection: when it left, seconds from the start, and its round trip; None: it was lost."""

    connection: str
    probe: str
    at_s: float
    took_ms: float | None


@dataclass(frozen=True)
class TimelineEvent:
    """What the timeline did, and when it was done, seconds from the start."""

    at_s: float
    do: str
    target: str
    is_fault: bool


def times_crossed(links: tuple[QkdLinkView, ...]) -> dict[str, int]:
    """How often a key relay over ``links`` crosses each section."""
    return dict(Counter(section for link in links for section in link.sections))
