"""Codec of the control messages between two tunnels: what they are and what their tags cover.

They share the ESP socket and begin with the non-ESP marker (RFC 3948, 2.2). All integers are big-endian::

    marker 0 (4) | magic "QSTC" (4) | version 1 (1) | type (1) | length of the whole (2) | connection tag (16) | body

The connection tag is SHA-256 of the connection id, cut to 16 octets: a check, not a secret. A tag at the end is
HMAC-SHA-256 cut to 16 octets over all that stands before it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError

from kms.tunnel.errors import Malformed
from kms.tunnel.packet.esp import MIN_SPI
from kms.tunnel.protocol.key_derivation import NONCE_BYTES
from kms.tunnel.protocol.repair.retransmission_buffer import MAX_RANGES, Range

NON_ESP_MARKER = bytes(4)
NAT_KEEPALIVE = b"\xff"  # RFC 3948, 2.3: one octet, ignored
TAG_BYTES = 16
INSTANCE_BYTES = 8
MAX_KEY_ID_BYTES = 129  # an ETSI 014 key_ID is a UUID of 36 characters; some KMEs give other names; two with "/"
MAX_DATAGRAM_BYTES = 256
MAX_ANNOUNCE_BYTES = 1024

_MAGIC = b"QSTC"
_VERSION = 1
_HEADER = Struct(">4s4sBBH16s")
_OFFER = Struct(f">I{NONCE_BYTES}sBB")  # SPI, nonce, flags, length of the key id
_CONFIRM = Struct(f">{NONCE_BYTES}sI{NONCE_BYTES}s{INSTANCE_BYTES}s")  # nonce of the offer, SPI, nonce, instance
_PROBE = Struct(">IQI")  # SPI, number, milliseconds since the receiver was heard
_ECHO = Struct(">QI")
_NOT_HEARD = 0xFFFF_FFFF
_REPAIR = Struct(">I")  # SPI; then the ranges
_RANGE = Struct(">IH")  # first number, how many
_ANNOUNCE = Struct(">I")  # SPI; then the key ids, each after its length in one octet
_HAS_LINK_TAG = 1


class _Type(IntEnum):
    HELLO = 1
    OFFER = 2
    CONFIRM = 3
    READY = 4
    REJECT = 5
    PROBE = 6
    PROBE_REPLY = 7
    ECHO = 8
    ECHO_REPLY = 9
    REPAIR = 10
    ANNOUNCE = 11


@dataclass(frozen=True)
class Hello:
    """Responder to initiator, not authenticated: I have started and hold no SA. A hint, no more."""

    instance: bytes


@dataclass(frozen=True)
class Offer:
    """Initiator to responder: fetch this key; I shall receive on ``spi``."""

    spi: int
    nonce: bytes
    key_id: str


@dataclass(frozen=True)
class Confirm:
    """Responder to initiator: I hold the key and receive on ``spi``."""

    offer_nonce: bytes
    spi: int
    nonce: bytes
    instance: bytes


@dataclass(frozen=True)
class Ready:
    """Initiator to responder: I hold your confirmation; transmit on the new SA."""

    offer_nonce: bytes


@dataclass(frozen=True)
class Reject:
    """Responder to initiator, not authenticated: my KME does not know that key. A hint, no more."""

    offer_nonce: bytes


@dataclass(frozen=True)
class Probe:
    """Either end to the other: do you hear me? I heard you ``silence_s`` ago (None: not yet).

    ``spi`` is that of the receiver's SA under whose link key it is signed.
    """

    spi: int
    number: int
    silence_s: float | None


@dataclass(frozen=True)
class ProbeReply:
    """The answer to a probe: as long as that one, signed under the same SA's link key."""

    spi: int
    number: int


@dataclass(frozen=True)
class Echo:
    """As :class:`Probe`, where there are no keys. Not authenticated: a hint, no more."""

    number: int
    silence_s: float | None


@dataclass(frozen=True)
class EchoReply:
    """As :class:`ProbeReply`, where there are no keys. Not authenticated: a hint, no more."""

    number: int


@dataclass(frozen=True)
class Repair:
    """Either end to the other: these numbers of yours have not come.

    What follows is up to :mod:`kms.tunnel.protocol.repair.retransmission_buffer`.
    ``spi`` is that of the receiver's SA under whose link key it is signed; ``missing`` are 1 to MAX_RANGES ranges.
    """

    spi: int
    missing: tuple[Range, ...]


@dataclass(frozen=True)
class Announce:
    """Initiator to responder: these keys will be offered shortly; fetch them all at once.

    ``spi`` is that of the receiver's SA under whose link key it is signed. A hint: a key that was not announced, or
    whose announcement was lost, is fetched when it is offered.
    """

    spi: int
    key_ids: tuple[str, ...]


Message = Hello | Offer | Confirm | Ready | Reject | Probe | ProbeReply | Echo | EchoReply | Repair | Announce


@dataclass(frozen=True)
class Received:
    """A message as it came, its tags not yet verified."""

    message: Message
    datagram: bytes
    signed: bytes = b""  # what ``tag`` covers
    tag: bytes = b""
    link_tag: bytes | None = None  # an offer's second tag, under the SA in use; covers signed | tag

    def is_signed_by(self, key: bytes) -> bool:
        return hmac.compare_digest(_tag(key, self.signed), self.tag)

    def is_linked_by(self, link_key: bytes) -> bool:
        if self.link_tag is None:
            return False
        return hmac.compare_digest(_tag(link_key, self.signed + self.tag), self.link_tag)


def connection_tag(connection_id: str) -> bytes:
    """The 16 octets that stand for a connection on the wire."""
    return hashlib.sha256(connection_id.encode()).digest()[:16]


def encode_hello(connection: bytes, message: Hello) -> bytes:
    return _frame(_Type.HELLO, connection, message.instance)


def encode_offer(connection: bytes, message: Offer, key: bytes, link_key: bytes | None) -> bytes:
    """``key`` is derived from the offered key, ``link_key`` from the SA in use when there is one."""
    key_id = message.key_id.encode()
    if not 0 < len(key_id) <= MAX_KEY_ID_BYTES:
        raise ValueError(f"a key id has 1 to {MAX_KEY_ID_BYTES} octets, not {len(key_id)}")
    flags = 0 if link_key is None else _HAS_LINK_TAG
    tags = TAG_BYTES if link_key is None else 2 * TAG_BYTES
    body = _OFFER.pack(message.spi, message.nonce, flags, len(key_id)) + key_id
    signed = _frame(_Type.OFFER, connection, body, tags)
    signed += _tag(key, signed)
    return signed if link_key is None else signed + _tag(link_key, signed)


def encode_confirm(connection: bytes, message: Confirm, key: bytes) -> bytes:
    body = _CONFIRM.pack(message.offer_nonce, message.spi, message.nonce, message.instance)
    signed = _frame(_Type.CONFIRM, connection, body, TAG_BYTES)
    return signed + _tag(key, signed)


def encode_ready(connection: bytes, message: Ready, link_key: bytes) -> bytes:
    signed = _frame(_Type.READY, connection, message.offer_nonce, TAG_BYTES)
    return signed + _tag(link_key, signed)


def encode_reject(connection: bytes, message: Reject) -> bytes:
    return _frame(_Type.REJECT, connection, message.offer_nonce)


def encode_probe(connection: bytes, message: Probe | ProbeReply, link_key: bytes) -> bytes:
    if isinstance(message, Probe):
        kind, body = _Type.PROBE, _PROBE.pack(message.spi, message.number, _milliseconds(message.silence_s))
    else:
        kind, body = _Type.PROBE_REPLY, _PROBE.pack(message.spi, message.number, 0)
    signed = _frame(kind, connection, body, TAG_BYTES)
    return signed + _tag(link_key, signed)


def encode_echo(connection: bytes, message: Echo | EchoReply) -> bytes:
    if isinstance(message, Echo):
        return _frame(_Type.ECHO, connection, _ECHO.pack(message.number, _milliseconds(message.silence_s)))
    return _frame(_Type.ECHO_REPLY, connection, _ECHO.pack(message.number, 0))


def encode_repair(connection: bytes, message: Repair, link_key: bytes) -> bytes:
    body = _REPAIR.pack(message.spi) + b"".join(_RANGE.pack(r.first, r.count) for r in message.missing)
    signed = _frame(_Type.REPAIR, connection, body, TAG_BYTES)
    return signed + _tag(link_key, signed)


def encode_announce(connection: bytes, spi: int, key_ids: Sequence[str], link_key: bytes) -> bytes:
    """As many of the ids, from the first on, as one datagram takes."""
    room = MAX_ANNOUNCE_BYTES - _HEADER.size - _ANNOUNCE.size - TAG_BYTES
    body = _ANNOUNCE.pack(spi)
    for key_id in key_ids:
        room -= 1 + len(key_id)
        if room < 0:
            break
        body += bytes((len(key_id),)) + key_id.encode("ascii")
    signed = _frame(_Type.ANNOUNCE, connection, body, TAG_BYTES)
    return signed + _tag(link_key, signed)


def decode(datagram: bytes, connection: bytes) -> Received:
    """The message in a datagram that begins with the marker; Malformed when it is none, or another connection's."""
    if len(datagram) > MAX_ANNOUNCE_BYTES:
        raise Malformed("longer than any control message")
    try:
        _, magic, version, kind, length, tag = _HEADER.unpack_from(datagram)
        if magic != _MAGIC or version != _VERSION or length != len(datagram):
            raise Malformed("not a control message of this version")
        if tag != connection:
            raise Malformed("a control message of another connection")
        if kind != _Type.ANNOUNCE and length > MAX_DATAGRAM_BYTES:
            raise Malformed("longer than any message of its type")
        return _DECODERS[kind](datagram, datagram[_HEADER.size :])
    except (StructError, KeyError, UnicodeDecodeError) as error:
        raise Malformed(f"not a control message: {type(error).__name__}") from None


def _decode_hello(datagram: bytes, body: bytes) -> Received:
    _require_length(body, INSTANCE_BYTES)
    return Received(Hello(body), datagram)


def _decode_offer(datagram: bytes, body: bytes) -> Received:
    spi, nonce, flags, id_length = _OFFER.unpack_from(body)
    has_link_tag = flags == _HAS_LINK_TAG
    if flags > _HAS_LINK_TAG or not 0 < id_length <= MAX_KEY_ID_BYTES or spi < MIN_SPI:
        raise Malformed("an offer with impossible fields")
    _require_length(body, _OFFER.size + id_length + TAG_BYTES * (2 if has_link_tag else 1))
    key_id = _key_id(body[_OFFER.size : _OFFER.size + id_length])
    end = _HEADER.size + _OFFER.size + id_length
    link_tag = datagram[end + TAG_BYTES :] if has_link_tag else None
    tag = datagram[end : end + TAG_BYTES]
    return Received(Offer(spi, nonce, key_id), datagram, datagram[:end], tag, link_tag)


def _decode_confirm(datagram: bytes, body: bytes) -> Received:
    _require_length(body, _CONFIRM.size + TAG_BYTES)
    offer_nonce, spi, nonce, instance = _CONFIRM.unpack_from(body)
    if spi < MIN_SPI:
        raise Malformed("a confirmation with a reserved SPI")
    return _signed(Confirm(offer_nonce, spi, nonce, instance), datagram)


def _decode_ready(datagram: bytes, body: bytes) -> Received:
    _require_length(body, NONCE_BYTES + TAG_BYTES)
    return _signed(Ready(body[:NONCE_BYTES]), datagram)


def _decode_reject(datagram: bytes, body: bytes) -> Received:
    _require_length(body, NONCE_BYTES)
    return Received(Reject(body), datagram)


def _decode_probe(datagram: bytes, body: bytes) -> Received:
    _require_length(body, _PROBE.size + TAG_BYTES)
    spi, number, silence_ms = _PROBE.unpack_from(body)
    return _signed(Probe(spi, number, _seconds(silence_ms)), datagram)


def _decode_probe_reply(datagram: bytes, body: bytes) -> Received:
    _require_length(body, _PROBE.size + TAG_BYTES)
    spi, number, _ = _PROBE.unpack_from(body)
    return _signed(ProbeReply(spi, number), datagram)


def _decode_echo(datagram: bytes, body: bytes) -> Received:
    _require_length(body, _ECHO.size)
    number, silence_ms = _ECHO.unpack(body)
    return Received(Echo(number, _seconds(silence_ms)), datagram)


def _decode_echo_reply(datagram: bytes, body: bytes) -> Received:
    _require_length(body, _ECHO.size)
    return Received(EchoReply(_ECHO.unpack(body)[0]), datagram)


def _decode_repair(datagram: bytes, body: bytes) -> Received:
    (spi,) = _REPAIR.unpack_from(body)
    ranges = body[_REPAIR.size : -TAG_BYTES]
    if not 0 < len(ranges) <= MAX_RANGES * _RANGE.size or len(ranges) % _RANGE.size:
        raise Malformed("a repair with impossible ranges")
    return _signed(Repair(spi, tuple(Range(*found) for found in _RANGE.iter_unpack(ranges))), datagram)


def _decode_announce(datagram: bytes, body: bytes) -> Received:
    (spi,) = _ANNOUNCE.unpack_from(body)
    rest, key_ids = body[_ANNOUNCE.size : -TAG_BYTES], []
    while rest:
        end = 1 + rest[0]
        if not 1 < end <= min(len(rest), 1 + MAX_KEY_ID_BYTES):
            raise Malformed("an announcement with impossible lengths")
        key_ids.append(_key_id(rest[1:end]))
        rest = rest[end:]
    if not key_ids or len(set(key_ids)) != len(key_ids) or len(body) < _ANNOUNCE.size + TAG_BYTES:
        raise Malformed("an announcement of nothing, or of something twice")
    return _signed(Announce(spi, tuple(key_ids)), datagram)


_DECODERS = {
    _Type.HELLO: _decode_hello,
    _Type.OFFER: _decode_offer,
    _Type.CONFIRM: _decode_confirm,
    _Type.READY: _decode_ready,
    _Type.REJECT: _decode_reject,
    _Type.PROBE: _decode_probe,
    _Type.PROBE_REPLY: _decode_probe_reply,
    _Type.ECHO: _decode_echo,
    _Type.ECHO_REPLY: _decode_echo_reply,
    _Type.REPAIR: _decode_repair,
    _Type.ANNOUNCE: _decode_announce,
}


def _key_id(octets: bytes) -> str:
    key_id = octets.decode("ascii")
    if not key_id.isprintable():
        raise Malformed("an unprintable key id")
    return key_id


def _milliseconds(silence_s: float | None) -> int:
    return _NOT_HEARD if silence_s is None else min(_NOT_HEARD - 1, round(silence_s * 1000))


def _seconds(silence_ms: int) -> float | None:
    return None if silence_ms == _NOT_HEARD else silence_ms / 1000


def _signed(message: Message, datagram: bytes) -> Received:
    return Received(message, datagram, datagram[:-TAG_BYTES], datagram[-TAG_BYTES:])


def _frame(kind: _Type, connection: bytes, body: bytes, tag_bytes: int = 0) -> bytes:
    length = _HEADER.size + len(body) + tag_bytes
    return _HEADER.pack(NON_ESP_MARKER, _MAGIC, _VERSION, kind, length, connection) + body


def _require_length(body: bytes, length: int) -> None:
    if len(body) != length:
        raise Malformed(f"a body of {len(body)} octets where {length} belong")


def _tag(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")[:TAG_BYTES]
