"""Every state of a connection, and for each machine one table of its transitions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar


class Link(Enum):
    """Whether traffic can pass."""

    WAITING = "waiting"  # no SA has been usable yet; a few packets wait, none goes out in the clear
    UP = "up"
    EXPIRED = "expired"  # the last key's lifetime ended with no successor; traffic stands still
    CLOSED = "closed"


class LinkInput(Enum):
    SA_USABLE = "an SA is usable both ways"
    LIFETIME_ENDED = "the last SA's lifetime ended"
    CLOSE = "closed"


LINK: Mapping[tuple[Link, LinkInput], Link] = {
    (Link.WAITING, LinkInput.SA_USABLE): Link.UP,
    (Link.UP, LinkInput.SA_USABLE): Link.UP,
    (Link.UP, LinkInput.LIFETIME_ENDED): Link.EXPIRED,
    (Link.EXPIRED, LinkInput.SA_USABLE): Link.UP,
    (Link.WAITING, LinkInput.CLOSE): Link.CLOSED,
    (Link.UP, LinkInput.CLOSE): Link.CLOSED,
    (Link.EXPIRED, LinkInput.CLOSE): Link.CLOSED,
}


class Exchange(Enum):
    """Where the initiator stands in getting the next key into use."""

    IDLE = "idle"
    FETCHING = "fetching"  # waiting for enc_keys
    BACKING_OFF = "backing-off"  # the KME gave no key, or the peer could not get it
    OFFERING = "offering"  # the offer is repeated until it is confirmed


class ExchangeInput(Enum):
    REKEY_DUE = "started, rekey due, or the peer has restarted"
    KEY_OBTAINED = "key obtained"
    KEY_REFUSED = "key refused"
    RETRY_DUE = "back-off ended"
    CONFIRMED = "CONFIRM"
    REJECTED = "REJECT or no answer"
    RECONFIGURED = "other keys wanted"


EXCHANGE: Mapping[tuple[Exchange, ExchangeInput], Exchange] = {
    (Exchange.IDLE, ExchangeInput.REKEY_DUE): Exchange.FETCHING,
    (Exchange.FETCHING, ExchangeInput.KEY_OBTAINED): Exchange.OFFERING,
    (Exchange.FETCHING, ExchangeInput.KEY_REFUSED): Exchange.BACKING_OFF,
    (Exchange.BACKING_OFF, ExchangeInput.RETRY_DUE): Exchange.FETCHING,
    (Exchange.OFFERING, ExchangeInput.CONFIRMED): Exchange.IDLE,
    (Exchange.OFFERING, ExchangeInput.REJECTED): Exchange.BACKING_OFF,
    (Exchange.IDLE, ExchangeInput.RECONFIGURED): Exchange.FETCHING,
    (Exchange.FETCHING, ExchangeInput.RECONFIGURED): Exchange.FETCHING,
    (Exchange.BACKING_OFF, ExchangeInput.RECONFIGURED): Exchange.FETCHING,
    (Exchange.OFFERING, ExchangeInput.RECONFIGURED): Exchange.FETCHING,
}


class Offered(Enum):
    """Where the responder stands with one offered key."""

    FETCHING = "fetching"  # waiting for dec_keys
    BACKING_OFF = "backing-off"  # the KME could not be asked; the next repetition of the offer asks again
    HOLDING = "holding"  # the key is here; the offer's tag did not fit, or the SA was refused: waiting for an offer
    CONFIRMING = "confirming"  # receiving on the new SA, transmitting on the old; CONFIRM is repeated
    SETTLED = "settled"  # the new SA is in use both ways
    REFUSED = "refused"  # the KME does not know the key; never asked for again


class OfferedInput(Enum):
    KEY_FITS = "key obtained, tag fits"
    KEY_DOES_NOT_FIT = "key obtained, tag does not fit"
    SA_REFUSED = "tag fits, SA refused"
    KME_UNREACHABLE = "KME unreachable"
    KEY_UNKNOWN = "key unknown"
    OFFER_REPEATED = "offer repeated"
    GENUINE_OFFER = "offer whose tag fits"
    PROOF = "READY or a packet on the new SA"


OFFERED: Mapping[tuple[Offered, OfferedInput], Offered] = {
    (Offered.FETCHING, OfferedInput.KEY_FITS): Offered.CONFIRMING,
    (Offered.FETCHING, OfferedInput.KEY_DOES_NOT_FIT): Offered.HOLDING,
    (Offered.FETCHING, OfferedInput.SA_REFUSED): Offered.HOLDING,
    (Offered.FETCHING, OfferedInput.KME_UNREACHABLE): Offered.BACKING_OFF,
    (Offered.FETCHING, OfferedInput.KEY_UNKNOWN): Offered.REFUSED,
    (Offered.BACKING_OFF, OfferedInput.OFFER_REPEATED): Offered.FETCHING,
    (Offered.HOLDING, OfferedInput.GENUINE_OFFER): Offered.CONFIRMING,
    (Offered.HOLDING, OfferedInput.SA_REFUSED): Offered.HOLDING,
    (Offered.CONFIRMING, OfferedInput.PROOF): Offered.SETTLED,
}

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741 - the letter that automata theory uses


def advance(table: Mapping[tuple[S, I], S], state: S, event: I) -> S:
    """The next state. A pair that the table lacks is our own mistake, never the peer's."""
    following = table.get((state, event))
    assert following is not None, f"no transition from {state} on {event}"
    return following


def mermaid(table: Mapping[tuple[S, I], S]) -> str:
    """The table as a Mermaid state diagram, as it stands in docs/explanation/tunnel.md."""
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {state.value.replace('-', '_')} --> {following.value.replace('-', '_')}: {event.value}"
        for (state, event), following in table.items()
    ]
    return "\n".join(lines)
