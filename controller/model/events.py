"""What has happened, as it is told to followers: one value for every kind of event.

An event about one connection names it and its slice by the same two fields, ``connection`` (its id) and ``slice`` (the
slice's name). ``connections`` are ids. ``kind`` is the event's type on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from controller.model.connection import Reroute
from controller.model.dark_channel import SpareState
from controller.model.key_rates import SectionStatus
from controller.model.reason import ReasonCode
from controller.model.states import ConnectionState, SliceState


class LinkState(Enum):
    """Whether a channel works at both ends."""

    UP = "up"
    DOWN = "down"

    @classmethod
    def of(cls, is_up: bool) -> LinkState:
        return cls.UP if is_up else cls.DOWN


class SectionState(Enum):
    """Whether the KMS vouches for a QKD section."""

    USABLE = "usable"
    UNUSABLE = "unusable"
    RESTARTING = "restarting"  # unusable as well, and not for long: its devices start again
    UNKNOWN = "unknown"  # not judged since the KMS started, or the KMS is silent

    @classmethod
    def of(cls, status: SectionStatus) -> SectionState:
        if not status.is_known:
            return cls.UNKNOWN
        if status.is_restarting:
            return cls.RESTARTING
        return cls.USABLE if status.is_usable else cls.UNUSABLE


@dataclass(frozen=True)
class SliceChanged:
    """A slice is in another state; ``expires_at`` (seconds since the epoch) while it is RESERVED."""

    kind: ClassVar[str] = "slice"
    slice: str
    state: SliceState
    reason: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class SliceWarned:
    """A QKD section that gives ``connections`` of the slice their keys stopped doing so, or does so again."""

    kind: ClassVar[str] = "slice_warning"
    slice: str
    section: str
    connections: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ConnectionChanged:
    """Restoration has moved or lost a connection, or its probes say otherwise than before."""

    kind: ClassVar[str] = "connection"
    connection: str
    slice: str
    state: ConnectionState
    reason: str | None = None
    reason_code: ReasonCode | None = None


@dataclass(frozen=True)
class ConditionsChanged:
    """What is to be known of a connection beside its state; nothing when ``conditions`` is empty."""

    kind: ClassVar[str] = "condition"
    connection: str
    slice: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class SwitchRepaired:
    """A switch at work held other rules, groups or meters than it shall, as when somebody has changed them by hand."""

    kind: ClassVar[str] = "switch_repaired"
    site: str
    missing: int
    excess: int
    misconfigured: int


@dataclass(frozen=True)
class Rerouted:
    """The traffic of a connection goes another way, or its keys come from another source."""

    kind: ClassVar[str] = "reroute"
    connection: str
    slice: str
    reroute: Reroute


@dataclass(frozen=True)
class KeysRerouted:
    """The keys of a connection come over another relay."""

    kind: ClassVar[str] = "key_reroute"
    connection: str
    slice: str
    reroute: Reroute


@dataclass(frozen=True)
class FallbackUsed:
    """A connection runs at ``level``, a lower one than ``required``, which its request lists."""

    kind: ClassVar[str] = "fallback_used"
    connection: str
    slice: str
    required: str
    level: str
    key_source: str


@dataclass(frozen=True)
class FallbackUndone:
    """A connection runs at the level ``required`` again."""

    kind: ClassVar[str] = "fallback_undone"
    connection: str
    slice: str
    required: str
    level: str
    key_source: str


@dataclass(frozen=True)
class RekeySlowed:
    """Keys are renewed every ``rekey_s`` seconds instead of the ``asked_s`` asked for."""

    kind: ClassVar[str] = "rekey_slowed"
    connection: str
    slice: str
    rekey_s: float
    asked_s: float
    reason: str


@dataclass(frozen=True)
class RekeyRestored:
    """Keys are renewed as often as was asked for again."""

    kind: ClassVar[str] = "rekey_restored"
    connection: str
    slice: str
    rekey_s: float
    asked_s: float


@dataclass(frozen=True)
class Violation:
    """The audit found a reroute that is not what the request asked for: a mistake of the controller's."""

    kind: ClassVar[str] = "violation"
    connection: str
    slice: str
    reason: str


@dataclass(frozen=True)
class LinkChanged:
    """A channel has failed or come back."""

    kind: ClassVar[str] = "link"
    channel: str
    state: LinkState


@dataclass(frozen=True)
class SpareChanged:
    """A dark channel is lit or put out; ``connections`` those for which it is being lit."""

    kind: ClassVar[str] = "spare"
    channel: str
    state: SpareState
    reason: str | None = None
    connections: tuple[str, ...] = ()


@dataclass(frozen=True)
class SectionChanged:
    """A QKD section gives keys or does not; ``connections`` those that use it."""

    kind: ClassVar[str] = "key"
    section: str
    state: SectionState
    qber: float | None
    connections: tuple[str, ...]


@dataclass(frozen=True)
class BookingShort:
    """The KMS promises less key rate between two sites than the connections between them hold."""

    kind: ClassVar[str] = "key_booking"
    a: str
    b: str
    key_source: str
    wanted_bps: int
    promised_bps: int


@dataclass(frozen=True)
class ExtensionRefused:
    """An extension failed, or its answer was refused; ``code`` says how. Nothing of the answer was used.

    ``about`` is the slice or connection. ``used`` is what was done instead: ``builtin`` or ``nothing``.
    """

    kind: ClassVar[str] = "extension"
    extension: str
    about: str
    code: str
    reason: str
    used: str


@dataclass(frozen=True)
class StreamReset:
    """Told to one follower alone: events that it has not seen are no longer kept."""

    kind: ClassVar[str] = "reset"
    reason: str = "events before these are no longer kept: read the state anew"


Happening = (
    SliceChanged
    | SliceWarned
    | ConnectionChanged
    | ConditionsChanged
    | SwitchRepaired
    | Rerouted
    | KeysRerouted
    | FallbackUsed
    | FallbackUndone
    | RekeySlowed
    | RekeyRestored
    | Violation
    | LinkChanged
    | SpareChanged
    | SectionChanged
    | BookingShort
    | ExtensionRefused
    | StreamReset
)
