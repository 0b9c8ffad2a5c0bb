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
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property


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
    _hash: int = field(init=False, repr=False, compare=False)  # taken once: every look for a pool needs it

    def __post_init__(self) -> None:
        if not self.parts or len(set(self.parts)) != len(self.parts):
            raise ValueError("a key source is one or more different sources")
        object.__setattr__(self, "parts", tuple(sorted(self.parts, key=_STRENGTH_ORDER.__getitem__)))
        object.__setattr__(self, "_hash", hash(self.parts))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def parse(cls, text: str) -> KeySource:
        """The source written like "qra" or "qkd+qra" (in any order); ValueError when there is none such."""
        try:
            return cls(tuple(Source(part) for part in text.split("+")))
        except ValueError:
            choices = ", ".join(s.value for s in Source)
            raise ValueError(f"unknown key source {text!r}: one of {choices}, or several joined by +") from None

    @cached_property
    def label(self) -> str:
        """The canonical spelling, strongest part first."""
        return "+".join(part.value for part in self.parts)


QKD = KeySource((Source.QKD,))
QRA = KeySource((Source.QRA,))
DH = KeySource((Source.DH,))


class RelayKind(Enum):
    """How a key came, or has to come, from one site to the other.

    A key that was agreed over one QKD section, or by the two KMEs alone, came directly; one that passed a trusted node,
    which saw it, was relayed.
    """

    DIRECT = "direct"
    RELAYED = "relayed"


MAX_DISJOINT_RELAYS = 4


@dataclass(frozen=True)
class RoutingConstraint:
    """How keys are to travel: by which route if one is named, and over how many QKD relays that have nothing in common.

    Over several relays a key goes in as many parts, all of which are needed: who sees one knows nothing of the key.
    """

    route: RelayKind | None = None
    disjoint_relays: int = 1


UNCONSTRAINED = RoutingConstraint()


class KeyState(Enum):
    # Members are single. Enum's own hash is Python code, and every change of a key's state would run it.
    __hash__ = object.__hash__

    AVAILABLE = "available"
    AWAITING_SLAVE = "awaiting-slave"
    CONSUMED = "consumed"
    EXPIRED = "expired"


class KeyEvent(Enum):
    __hash__ = object.__hash__

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
class Delivery:
    """What one enc_keys request settled for all of its keys: who got them, where and when, and for whom they wait."""

    delivery_id: uuid.UUID
    master: str
    master_site: str
    named: frozenset[str]
    at: float
    route: RelayKind | None = None  # what the master asked for


@dataclass(frozen=True)
class Key:
    """One key and all that is known of it.

    ``copies`` holds the key bytes by the site that keeps them. ``awaiting`` are those of the SAEs that its delivery
    names which have not fetched it yet. ``crossings`` counts the QKD sections that
    a copy of it crossed, the one that came the longest way, in ``relays`` parts: what a trusted node has seen on the
    way of one copy it knows of all of them.
    """

    key_id: uuid.UUID
    source: KeySource
    size_bits: int
    made_at: float
    copies: Mapping[str, bytes] = field(repr=False)
    state: KeyState = KeyState.AVAILABLE
    delivery: Delivery | None = None
    awaiting: frozenset[str] = frozenset()
    crossings: int = 0
    relays: int = 1

    @property
    def route(self) -> RelayKind:
        return RelayKind.RELAYED if self.crossings > 1 else RelayKind.DIRECT

    def __post_init__(self) -> None:
        for copy in self.copies.values():
            if len(copy) * 8 != self.size_bits:
                raise ValueError(f"key {self.key_id}: a copy has another size than {self.size_bits} bits")

    @property
    def known_delivery(self) -> Delivery:
        """The delivery of a key that was delivered."""
        assert self.delivery is not None, f"key {self.key_id} was not delivered"
        return self.delivery

    def delivered(self, delivery: Delivery, keep: frozenset[str], awaiting: frozenset[str] | None = None) -> Key:
        """The key after its master got it: the copies at ``keep`` wait for the slaves, the others are gone.

        ``awaiting`` are the slaves that are served from here; all that the delivery names when it is left out.
        """
        copies = self.copies if self.copies.keys() == keep else {p: c for p, c in self.copies.items() if p in keep}
        waiting = delivery.named if awaiting is None else awaiting
        return self._changed(KeyEvent.DELIVERED_TO_MASTER, copies, delivery, waiting)

    def arrived(self, site: str, copy: bytes | None, crossings: int = 0, relays: int = 1) -> Key:
        """The key once a copy has come to ``site``, in another process when ``copy`` is None."""
        copies = self.copies if copy is None or site in self.copies else {**self.copies, site: copy}
        return Key(
            self.key_id, self.source, self.size_bits, self.made_at, copies, self.state, self.delivery, self.awaiting,
            max(self.crossings, crossings), min(self.relays, relays) if self.crossings else relays,
        )  # fmt: skip

    def fetched(self, slave: str) -> Key:
        """The key after ``slave`` got it; without copies once nobody waits for it any more."""
        if slave not in self.awaiting:
            raise ValueError(f"key {self.key_id} does not wait for {slave}")
        awaiting = self.awaiting - {slave}
        event = KeyEvent.FETCHED_BY_ONE if awaiting else KeyEvent.FETCHED_BY_LAST
        return self._changed(event, self.copies if awaiting else {}, self.delivery, awaiting)

    def expired(self) -> Key:
        return self._changed(KeyEvent.LIFETIME_ENDED, {}, self.delivery, self.awaiting)

    def _changed(
        self, event: KeyEvent, copies: Mapping[str, bytes], delivery: Delivery | None, awaiting: frozenset[str]
    ) -> Key:
        """Objects are made by the thousand a second: a copy, of which nothing is checked again, costs a third."""
        changed = object.__new__(Key)
        changed.__dict__.update(self.__dict__)
        state = next_state(self.state, event)
        changed.__dict__.update(state=state, copies=copies, delivery=delivery, awaiting=awaiting)
        return changed
