"""The exchange by which two KMEs agree on keys: one signed message each way, over any list of mechanisms. No I/O.

::

    initiator                                                        responder
    hello = {ends, nonce, time, source, algorithms, offers}
    hello, certificate, signature ------------------------------------->  own policy? fresh? signed by that KME?
          <------- reply = {hash of hello, nonce, answers}, confirmation, certificate, signature
    signed by that KME? of this hello? confirmation right?
    keys = CatKDF(secrets; algorithms, ends; hello, reply)           keys = the same

Nothing is negotiated: each end has its policy, and what differs from it is refused, so there is nothing to downgrade
to. A hello that comes twice, late, or from a clock too far off is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kms.errors import ExchangeError
from kms.keys.key import KeySource, Source
from kms.sources.agreement import KEYS_PER_AGREEMENT, Mechanism, exchanges_for, framed, unframed
from kms.sources.hybrid import Exchanged

VERSION = 1
NONCE_BYTES = 32
# How old a hello may be, or ahead of our clock; so long are nonces remembered, and the last KEPT_NONCES for good.
FRESH_S = 60.0
KEPT_NONCES = 4_096
_CONFIRMATION_BYTES = 32
_HELLO, _REPLY = b"qslice kme hello v1", b"qslice kme reply v1"

Entropy = Callable[[int], bytes]


class Signer(Protocol):
    """Who signs as a KME: :class:`kms.pki.kme_identity.KmeIdentity`."""

    @property
    def algorithm(self) -> str: ...
    @property
    def credential(self) -> bytes: ...
    def sign(self, message: bytes) -> bytes: ...


class Verifier(Protocol):
    """Who knows the KMEs: :class:`kms.pki.kme_identity.KmeDirectory`."""

    def verify(self, site: str, credential: bytes, message: bytes, signature: bytes, now: float) -> None:
        """ExchangeError unless the KME of ``site`` signed ``message``, by the algorithm that our policy demands."""


@dataclass(frozen=True)
class Terms:
    """What an exchange is about. ``batch`` names the QKD bits that both ends mix in, empty if there are none."""

    source: KeySource
    count: int
    size_bits: int
    batch: str = ""


@dataclass(frozen=True)
class Answered:
    """What a responder has after a hello: whom it shares what with, and what to send back."""

    initiator: str
    terms: Terms
    exchanged: Exchanged = field(repr=False)
    reply: bytes = field(repr=False)


class Party:
    """One KME as a partner in exchanges."""

    def __init__(
        self, site: str, mechanisms: Mapping[Source, Mechanism], signer: Signer, verifier: Verifier, entropy: Entropy
    ) -> None:
        self.site = site
        self.mechanisms = dict(mechanisms)
        self._signer = signer
        self._verifier = verifier
        self._entropy = entropy
        self._seen: dict[bytes, float] = {}

    def open(self, peer: str, terms: Terms, now: float) -> Opening:
        """Begin an exchange with the KME of ``peer``."""
        assert 1 <= terms.count <= KEYS_PER_AGREEMENT
        offers: dict[str, list[str]] = {}
        finishing: dict[Source, list[Callable[[bytes], bytes]]] = {}
        for part in self._parts(terms.source):
            made = [self.mechanisms[part].offer() for _ in range(exchanges_for(terms.size_bits))]
            offers[part.value] = [_text(message) for message, _ in made]
            finishing[part] = [finish for _, finish in made]
        hello = _encoded(
            {
                "version": VERSION, "from": self.site, "to": peer, "at": now,
                "nonce": _text(self._entropy(NONCE_BYTES)), **self._policy(terms), "offers": offers,
            }
        )  # fmt: skip
        signed = framed(hello, self._signer.credential)
        message = framed(hello, self._signer.credential, self._signer.sign(_HELLO + signed))
        return Opening(self, peer, terms, message, signed, finishing)

    def answer(self, message: bytes, now: float) -> Answered:
        """Answer another KME's hello; ExchangeError when it is not to be trusted, fresh, and of our policy."""
        hello, credential, signature = unframed(message, 3)
        fields = _decoded(hello)
        try:
            initiator = fields["from"]
            terms = Terms(
                KeySource.parse(fields["source"]), int(fields["count"]), int(fields["size_bits"]), fields["batch"]
            )
            nonce, at, to = _bytes(fields["nonce"]), float(fields["at"]), fields["to"]
            offers = {Source(name): [_bytes(each) for each in row] for name, row in fields["offers"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            raise ExchangeError("a hello is not well formed") from None
        if not isinstance(initiator, str) or to != self.site or fields.get("version") != VERSION:
            raise ExchangeError("a hello is not for this KME")
        signed = framed(hello, credential)
        self._verifier.verify(initiator, credential, _HELLO + signed, signature, now)
        if {name: fields.get(name) for name in self._policy(terms)} != self._policy(terms):
            raise ExchangeError(f"the KME of {initiator} follows another policy of algorithms: refused")
        expected = self._parts(terms.source)
        if set(offers) != set(expected) or not 1 <= terms.count <= KEYS_PER_AGREEMENT:
            raise ExchangeError("a hello offers something else than its source needs")
        if any(len(row) != exchanges_for(terms.size_bits) for row in offers.values()):
            raise ExchangeError("a hello offers too few or too many values for its keys")
        self._require_fresh(nonce, at, now)
        answers = {part: [self.mechanisms[part].answer(each) for each in offers[part]] for part in expected}
        reply = _encoded(
            {
                "version": VERSION, "hello": hashlib.sha256(message).hexdigest(),
                "nonce": _text(self._entropy(NONCE_BYTES)),
                "answers": {part.value: [_text(sent) for sent, _ in row] for part, row in answers.items()},
            }
        )  # fmt: skip
        secrets = {part: b"".join(secret for _, secret in row) for part, row in answers.items()}
        exchanged = self.exchanged(initiator, self.site, terms, secrets, signed, framed(reply, self._signer.credential))
        confirmation = exchanged.derive(b"confirmation", _CONFIRMATION_BYTES)
        body = framed(reply, confirmation, self._signer.credential)
        return Answered(
            initiator, terms, exchanged,
            framed(reply, confirmation, self._signer.credential, self._signer.sign(_REPLY + body)),
        )  # fmt: skip

    def verify_reply(self, peer: str, credential: bytes, body: bytes, signature: bytes, now: float) -> None:
        self._verifier.verify(peer, credential, _REPLY + body, signature, now)

    def exchanged(
        self, a: str, b: str, terms: Terms, secrets: Mapping[Source, bytes], ma: bytes, mb: bytes
    ) -> Exchanged:
        policy = self._policy(terms)
        algorithms = ",".join(policy["algorithms"].values())
        info = f"{terms.source.label}|{algorithms}|{a}|{b}|{terms.count}|{terms.size_bits}|{terms.batch}".encode()
        return Exchanged(secrets, info, ma, mb)

    def _parts(self, source: KeySource) -> list[Source]:
        parts: list[Source] = [part for part in source.parts if part is not Source.QKD]
        if not parts or not all(part in self.mechanisms for part in parts):
            raise ExchangeError(f"there is nothing to exchange for {source.label}")
        return parts

    def _policy(self, terms: Terms) -> dict[str, Any]:
        return {
            "source": terms.source.label,
            "algorithms": {part.value: self.mechanisms[part].algorithm for part in self._parts(terms.source)},
            "signature": self._signer.algorithm,
            "count": terms.count,
            "size_bits": terms.size_bits,
            "batch": terms.batch,
        }

    def _require_fresh(self, nonce: bytes, at: float, now: float) -> None:
        if not abs(now - at) <= FRESH_S:
            raise ExchangeError("a hello is too old, or the clocks of the two KMEs differ by more than a minute")
        # Nonces are in the order of their coming: those at the front are the oldest.
        # Some are kept however old: a clock that is set forth and back makes old hellos fresh again.
        while len(self._seen) > KEPT_NONCES and next(iter(self._seen.values())) < now - 2 * FRESH_S:
            del self._seen[next(iter(self._seen))]
        if len(nonce) != NONCE_BYTES or nonce in self._seen:
            raise ExchangeError("a hello came before: refused")
        self._seen[nonce] = now


class Opening:
    """An exchange that this end has begun. :attr:`message` goes to the peer, its reply to :meth:`finish`."""

    def __init__(
        self, party: Party, peer: str, terms: Terms, message: bytes, signed: bytes,
        finishing: Mapping[Source, list[Callable[[bytes], bytes]]],
    ) -> None:  # fmt: skip
        self.message = message
        self._party = party
        self._peer = peer
        self._terms = terms
        self._signed = signed
        self._finishing = finishing

    def finish(self, message: bytes, now: float) -> Exchanged:
        """What this end has; ExchangeError when the reply is not the peer's to this hello."""
        reply, confirmation, credential, signature = unframed(message, 4)
        self._party.verify_reply(self._peer, credential, framed(reply, confirmation, credential), signature, now)
        fields = _decoded(reply)
        try:
            answers = {Source(name): [_bytes(each) for each in row] for name, row in fields["answers"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            raise ExchangeError("a reply is not well formed") from None
        if fields.get("version") != VERSION or fields.get("hello") != hashlib.sha256(self.message).hexdigest():
            raise ExchangeError("a reply belongs to another hello: refused")
        if {part: len(row) for part, row in answers.items()} != {p: len(row) for p, row in self._finishing.items()}:
            raise ExchangeError("a reply answers something else than was offered")
        secrets = {
            part: b"".join(finish(each) for finish, each in zip(self._finishing[part], row, strict=True))
            for part, row in answers.items()
        }
        exchanged = self._party.exchanged(
            self._party.site, self._peer, self._terms, secrets, self._signed, framed(reply, credential)
        )
        if not hmac.compare_digest(exchanged.derive(b"confirmation", _CONFIRMATION_BYTES), confirmation):
            raise ExchangeError(f"the KME of {self._peer} came to another secret")
        return exchanged


def _encoded(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        raise ExchangeError("a message of an exchange is not JSON") from None
    if not isinstance(fields, dict):
        raise ExchangeError("a message of an exchange is not an object")
    return fields


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
