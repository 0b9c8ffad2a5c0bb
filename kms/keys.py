"""What a key is: its identity, where it came from, and the life it leads.

A key has one *copy* at each site that will hand it out. The copies come out of a key exchange independently; nothing
here compares them. Times are seconds since the epoch, sizes are bits.

The life cycle::

    AVAILABLE --delivered to master--> AWAITING_SLAVE --fetched by the last slave--> CONSUMED
        |                                |      ^
        |                                |      '-- fetched by one slave of several
        '--------lifetime ended----------'--lifetime ended--> EXPIRED
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

DEFAULT_KEY_SIZE_BITS = 256


class Source(Enum):
    """A way in which two sites come by a common key. The order is that of strength, strongest first."""

    QKD = "qkd"
    QRA = "qra"
    DH = "dh"


_STRENGTH_ORDER = {source: place for place, source in enumerate(Source)}


@dataclass(frozen=True)
class KeySource:
    """One source, or several combined into a hybrid key (ETSI TS 103 744)."""

    parts: tuple[Source, ...]

    def __post_init__(self) -> None:
        if not self.parts or len(set(self.parts)) != len(self.parts):
            raise ValueError("a key source is one or more different sources")
        object.__setattr__(self, "parts", tuple(sorted(self.parts, key=_STRENGTH_ORDER.__getitem__)))

    @classmethod
    def parse(cls, text: str) -> KeySource:
        """The source written like "qra" or "qkd+qra" (in any order); ValueError when there is none such."""
        try:
            return cls(tuple(Source(part) for part in text.split("+")))
        except ValueError:
            choices = ", ".join(s.value for s in Source)
            raise ValueError(f"unknown key source {text!r}: one of {choices}, or several joined by +") from None

    @property
    def label(self) -> str:
        """The canonical spelling, strongest part first."""
        return "+".join(part.value for part in self.parts)

    @property
    def is_hybrid(self) -> bool:
        return len(self.parts) > 1


QKD = KeySource((Source.QKD,))
QRA = KeySource((Source.QRA,))
DH = KeySource((Source.DH,))


class KeyState(Enum):
    AVAILABLE = "available"
    AWAITING_SLAVE = "awaiting-slave"
    CONSUMED = "consumed"
    EXPIRED = "expired"


class KeyEvent(Enum):
    DELIVERED_TO_MASTER = "delivered-to-master"
    FETCHED_BY_ONE = "fetched-by-one"
    FETCHED_BY_LAST = "fetched-by-last"
    LIFETIME_ENDED = "lifetime-ended"


TRANSITIONS: Mapping[tuple[KeyState, KeyEvent], KeyState] = {
    (KeyState.AVAILABLE, KeyEvent.DELIVERED_TO_MASTER): KeyState.AWAITING_SLAVE,
    (KeyState.AVAILABLE, KeyEvent.LIFETIME_ENDED): KeyState.EXPIRED,
    (KeyState.AWAITING_SLAVE, KeyEvent.FETCHED_BY_ONE): KeyState.AWAITING_SLAVE,
    (KeyState.AWAITING_SLAVE, KeyEvent.FETCHED_BY_LAST): KeyState.CONSUMED,
    (KeyState.AWAITING_SLAVE, KeyEvent.LIFETIME_ENDED): KeyState.EXPIRED,
}


def next_state(state: KeyState, event: KeyEvent) -> KeyState:
    """The only way a state changes; ValueError for a step that the table does not have."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a key that is {state.value} cannot be {event.value}") from None


@dataclass(frozen=True)
class Key:
    """One key and all that is known of it.

    ``copies`` holds the key bytes by the site that keeps them. ``named`` are the SAEs that the master asked it for,
    ``awaiting`` those of them that have not fetched it yet.
    """

    key_id: uuid.UUID
    source: KeySource
    size_bits: int
    made_at: float
    copies: Mapping[str, bytes] = field(repr=False)
    state: KeyState = KeyState.AVAILABLE
    master: str | None = None
    master_site: str | None = None
    named: frozenset[str] = frozenset()
    awaiting: frozenset[str] = frozenset()
    delivered_at: float | None = None

    def __post_init__(self) -> None:
        if any(len(copy) * 8 != self.size_bits for copy in self.copies.values()):
            raise ValueError(f"key {self.key_id}: a copy has another size than {self.size_bits} bits")

    def delivered(self, master: str, site: str, slaves: frozenset[str], keep: frozenset[str], now: float) -> Key:
        """The key after its master got it: the copies at ``keep`` wait for ``slaves``, the others are gone."""
        return replace(
            self,
            state=next_state(self.state, KeyEvent.DELIVERED_TO_MASTER),
            copies={place: copy for place, copy in self.copies.items() if place in keep},
            master=master,
            master_site=site,
            named=slaves,
            awaiting=slaves,
            delivered_at=now,
        )

    def fetched(self, slave: str) -> Key:
        """The key after ``slave`` got it; without copies once nobody waits for it any more."""
        if slave not in self.awaiting:
            raise ValueError(f"key {self.key_id} does not wait for {slave}")
        awaiting = self.awaiting - {slave}
        event = KeyEvent.FETCHED_BY_ONE if awaiting else KeyEvent.FETCHED_BY_LAST
        return replace(
            self,
            state=next_state(self.state, event),
            awaiting=awaiting,
            copies=self.copies if awaiting else {},
        )

    def expired(self) -> Key:
        return replace(self, state=next_state(self.state, KeyEvent.LIFETIME_ENDED), copies={})
