"""The kernel's ESP, programmed by netlink (linux/xfrm.h): the octets of its messages, and no more.

States, policies and the interface that they belong to carry one number (``if_id``, which is also the states' request
id), so that each connection's are its own. The packets are the same as :mod:`kms.tunnel.packet.esp` makes, in UDP
(RFC 3948).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from kms.tunnel.dataplane.netlink import Request, attributes, socket_family
from kms.tunnel.packet.cipher_suites import CIPHER_KEY_BYTES, DEFAULT, ICV_BYTES, Suite
from kms.tunnel.packet.ip_header import AddressPair

# linux/xfrm.h
_NEWSA, _DELSA, _GETSA, _DELPOLICY, _GETPOLICY, _UPDPOLICY = 0x10, 0x11, 0x12, 0x14, 0x15, 0x19
_ALG_CRYPT, _ALG_AUTH_TRUNC = 2, 20
_TMPL, _ENCAP, _ALG_AEAD, _REPLAY_ESN_VAL, _SA_EXTRA_FLAGS, _IF_ID = 5, 4, 18, 23, 24, 31
_DONT_ENCAP_DSCP = 1
_STATE_AF_UNSPEC, _STATE_ESN = 32, 128
_POLICY_IN, _POLICY_OUT = 0, 1
_ALLOW, _BLOCK = 0, 1
_MODE_TUNNEL = 1
_INFINITE = 2**64 - 1
_EVERY_ALGORITHM = 0xFFFF_FFFF
# linux/rtnetlink.h, linux/if_link.h
_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_IFLA_IFNAME, _IFLA_LINKINFO, _INFO_KIND, _INFO_DATA, _XFRM_LINK, _XFRM_IF_ID = 3, 18, 1, 2, 1, 2
_LINK = struct.Struct("=BxHiII")
# linux/netlink.h
_CREATE, _EXCLUSIVE = 0x400, 0x200

UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h: option of a socket, and its value for RFC 3948
MAX_REPLAY_WINDOW = 4096
"""net/xfrm/xfrm_user.c (XFRMA_REPLAY_ESN_MAX): the kernel keeps no wider one."""
_ICV_BITS = 8 * ICV_BYTES
_AEADS = {  # linux/net/xfrm/xfrm_algo.c, by the RFC that describes them
    "4106": b"rfc4106(gcm(aes))",
    "4543": b"rfc4543(gcm(aes))",
    "7634": b"rfc7539esp(chacha20,poly1305)",
}
_CIPHER, _AUTHENTICATION = b"rfc3686(ctr(aes))", b"hmac(sha256)"

_ADDRESS = struct.Struct("=16s")
_SELECTOR = struct.Struct("=16s16sHHHHHBBB3xiI")  # daddr, saddr, ports and masks, family, prefixes, protocol, index
_ID = struct.Struct("=16s4sB3x")  # daddr, SPI, protocol
_LIFETIME = struct.Struct("=8Q")  # soft and hard: octets, packets; seconds since it was added, since its first use
_USED = struct.Struct("=4Q")  # octets, packets, added at, first used at
_STATS = struct.Struct("=3I")  # too old, repeated, wrong ICV
_STATE_TAIL = struct.Struct("=IIHBBB7x")  # sequence, request id, family, mode, replay window, flags
_STATE_ID = struct.Struct("=16s4sHBx")
_POLICY_TAIL = struct.Struct("=IIBBBB4x")  # priority, index, direction, action, flags, share
_POLICY_ID_TAIL = struct.Struct("=IB3x")
_TEMPLATE_TAIL = struct.Struct("=H2x16sIBBBxIII")  # family, saddr, request id, mode, share, optional, algorithms
_ENCAPSULATION = struct.Struct("=H2s2s2x16x")
_REPLAY = struct.Struct("=6I")  # words, sent, received, both high halves, window
_AEAD = struct.Struct("=64sII")  # name, bits of key, bits of ICV
_CRYPT = struct.Struct("=64sI")
_ATTRIBUTE = struct.Struct("=HH")
STATE_BYTES = _SELECTOR.size + _ID.size + 16 + _LIFETIME.size + _USED.size + _STATS.size + _STATE_TAIL.size


@dataclass(frozen=True)
class Ends:
    """One direction: outer addresses, and the inner ones of each family, those it comes from first."""

    source: IPv4Address
    destination: IPv4Address
    inner: tuple[AddressPair, ...]

    def reversed(self) -> Ends:
        return Ends(self.destination, self.source, tuple(pair.reversed() for pair in self.inner))


@dataclass(frozen=True)
class State:
    """One direction's SA. ``lifetime_s``: the kernel forgets it by then, whatever has become of us."""

    ends: Ends
    spi: int
    port: int
    if_id: int
    replay_window: int
    lifetime_s: int
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    suite: Suite = DEFAULT


@dataclass(frozen=True)
class Usage:
    """What the kernel has counted on one SA, and the last sequence numbers sent and received."""

    packets: int
    octets: int
    too_old: int
    repeated: int
    auth_failures: int
    sent: int
    received: int


UNUSED = Usage(0, 0, 0, 0, 0, 0, 0)


def add_interface(name: str, underlay_index: int, if_id: int) -> Request:
    """An interface that takes packets into the tunnel ``if_id`` and gives out what comes through it; never else."""
    data = _attribute(_XFRM_LINK, struct.pack("=I", underlay_index)) + _attribute(_XFRM_IF_ID, struct.pack("=I", if_id))
    info = _attribute(_INFO_KIND, b"xfrm\0") + _attribute(_INFO_DATA, data)
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
    return Request(f"make {name}", _NEWLINK, _CREATE | _EXCLUSIVE, body + _attribute(_IFLA_LINKINFO, info))


def remove_interface(name: str, index: int) -> Request:
    return Request(f"remove {name}", _DELLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0))


def add_state(state: State) -> Request:
    """Packets with its SPI are let in, or sealed on request of a policy that names the SPI.

    Its own selector has room for one family; with two it has none, and the policies alone say who may pass.
    """
    ends, flags = state.ends, _STATE_ESN if state.suite.is_extended else 0
    selector = _selector(ends.inner[0]) if len(ends.inner) == 1 else bytes(_SELECTOR.size)
    if len(ends.inner) > 1:
        flags |= _STATE_AF_UNSPEC
    words = -(-state.replay_window // 32)
    lifetime = _LIFETIME.pack(*(_INFINITE,) * 4, 0, state.lifetime_s, 0, 0)
    body = (
        selector
        + _id(ends.destination, state.spi)
        + _address(ends.source)
        + lifetime
        + _USED.pack(0, 0, 0, 0)
        + _STATS.pack(0, 0, 0)
        # The replay window's field has eight bits; the attribute below says what holds.
        + _STATE_TAIL.pack(0, state.if_id, socket.AF_INET, _MODE_TUNNEL, 0, flags)
    )
    port = state.port.to_bytes(2, "big")
    body += _algorithms(state)
    body += _attribute(_ENCAP, _ENCAPSULATION.pack(UDP_ENCAP_ESPINUDP, port, port))
    body += _attribute(_REPLAY_ESN_VAL, _REPLAY.pack(words, 0, 0, 0, 0, state.replay_window) + bytes(4 * words))
    # The outer header does not tell the inner one's class of traffic.
    body += _attribute(_SA_EXTRA_FLAGS, struct.pack("=I", _DONT_ENCAP_DSCP))
    body += _attribute(_IF_ID, struct.pack("=I", state.if_id))
    return Request(f"add the SA {state.spi:#010x}", _NEWSA, _CREATE | _EXCLUSIVE, body)


def _algorithms(state: State) -> bytes:
    suite = state.suite
    if not suite.is_split:
        keymat = state.key + state.salt
        return _attribute(_ALG_AEAD, _AEAD.pack(_AEADS[suite.rfc], 8 * len(keymat), _ICV_BITS) + keymat)
    cipher, authentication = state.key[:CIPHER_KEY_BYTES] + state.salt, state.key[CIPHER_KEY_BYTES:]
    return _attribute(_ALG_CRYPT, _CRYPT.pack(_CIPHER, 8 * len(cipher)) + cipher) + _attribute(
        _ALG_AUTH_TRUNC, _AEAD.pack(_AUTHENTICATION, 8 * len(authentication), _ICV_BITS) + authentication
    )


def remove_state(destination: IPv4Address, spi: int) -> Request:
    return Request(f"remove the SA {spi:#010x}", _DELSA, 0, _state_id(destination, spi))


def ask_state(destination: IPv4Address, spi: int) -> Request:
    """Answered by what :func:`parse_state` reads."""
    return Request(f"read the SA {spi:#010x}", _GETSA, 0, _state_id(destination, spi))


def parse_state(message: bytes) -> Usage:
    """The body of the answer to :func:`ask_state`."""
    at = _SELECTOR.size + _ID.size + 16 + _LIFETIME.size
    octets, packets, _, _ = _USED.unpack_from(message, at)
    too_old, repeated, auth_failures = _STATS.unpack_from(message, at + _USED.size)
    replay = attributes(message, STATE_BYTES).get(_REPLAY_ESN_VAL)
    _, sent, received, sent_high, received_high, _ = _REPLAY.unpack_from(replay or bytes(_REPLAY.size))
    sent, received = sent_high << 32 | sent, received_high << 32 | received
    return Usage(packets, octets, too_old, repeated, auth_failures, sent, received)


def let_out(ends: Ends, if_id: int, spi: int) -> list[Request]:
    """Inner packets leave sealed by the SA ``spi`` and no other. Takes the place of the policies before at once."""
    return _policies("let packets out", _POLICY_OUT, ends, if_id, _ALLOW, _template(ends, if_id, spi))


def let_nothing_out(ends: Ends, if_id: int) -> list[Request]:
    return _policies("let no packet out", _POLICY_OUT, ends, if_id, _BLOCK, b"")


def let_in(ends: Ends, if_id: int) -> list[Request]:
    """Inner packets are taken if they came through any of this connection's SAs."""
    return _policies("let packets in", _POLICY_IN, ends, if_id, _ALLOW, _template(ends, if_id, 0))


def remove_policies(ends: Ends, if_id: int, *, is_outbound: bool) -> list[Request]:
    tail = _POLICY_ID_TAIL.pack(0, _POLICY_OUT if is_outbound else _POLICY_IN)
    tail += _attribute(_IF_ID, struct.pack("=I", if_id))
    return [Request("remove a policy", _DELPOLICY, 0, _selector(pair) + tail) for pair in ends.inner]


# What is there: bodies of dumps, read back

ALL_LINKS = Request("list interfaces", _GETLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
ALL_STATES = Request("list SAs", _GETSA, 0, b"")
ALL_POLICIES = Request("list policies", _GETPOLICY, 0, b"")


def interfaces(links: Iterable[bytes]) -> Iterator[tuple[str, int, int]]:
    """Name, index and number of each interface of this kind."""
    for link in links:
        index = _LINK.unpack_from(link)[2]
        found = attributes(link, _LINK.size)
        info = attributes(found.get(_IFLA_LINKINFO, b""), 0)
        if info.get(_INFO_KIND, b"").rstrip(b"\0") == b"xfrm":
            (if_id,) = struct.unpack("=I", attributes(info[_INFO_DATA], 0)[_XFRM_IF_ID])
            yield found[_IFLA_IFNAME].rstrip(b"\0").decode(), index, if_id


def states(dumped: Iterable[bytes]) -> Iterator[tuple[int, Request]]:
    """Each SA's number, and what removes it."""
    for state in dumped:
        destination, spi, protocol = _ID.unpack_from(state, _SELECTOR.size)
        _, if_id, family, *_ = _STATE_TAIL.unpack_from(state, STATE_BYTES - _STATE_TAIL.size)
        yield if_id, Request("remove an SA", _DELSA, 0, _STATE_ID.pack(destination, spi, family, protocol))


def policies(dumped: Iterable[bytes]) -> Iterator[tuple[int, Request]]:
    """Each policy's number, and what removes it."""
    tail_at = _SELECTOR.size + _LIFETIME.size + _USED.size
    for policy in dumped:
        _, index, direction, *_ = _POLICY_TAIL.unpack_from(policy, tail_at)
        found = attributes(policy, tail_at + _POLICY_TAIL.size).get(_IF_ID)
        if found is not None:
            body = policy[: _SELECTOR.size] + _POLICY_ID_TAIL.pack(index, direction) + _attribute(_IF_ID, found)
            yield struct.unpack("=I", found)[0], Request("remove a policy", _DELPOLICY, 0, body)


def _policies(what: str, direction: int, ends: Ends, if_id: int, action: int, template: bytes) -> list[Request]:
    """One for each family."""
    tail = _LIFETIME.pack(*(_INFINITE,) * 4, 0, 0, 0, 0) + _USED.pack(0, 0, 0, 0)
    tail += _POLICY_TAIL.pack(0, 0, direction, action, 0, 0)
    if template:
        tail += _attribute(_TMPL, template)
    tail += _attribute(_IF_ID, struct.pack("=I", if_id))
    return [Request(what, _UPDPOLICY, 0, _selector(pair) + tail) for pair in ends.inner]


def _template(ends: Ends, if_id: int, spi: int) -> bytes:
    tail = _TEMPLATE_TAIL.pack(
        socket.AF_INET, _address(ends.source), if_id, _MODE_TUNNEL, 0, 0, *(_EVERY_ALGORITHM,) * 3
    )
    return _id(ends.destination, spi) + tail


def _selector(inner: AddressPair) -> bytes:
    whole = inner.local.max_prefixlen
    addresses = (_ADDRESS.pack(inner.peer.packed), _ADDRESS.pack(inner.local.packed))
    return _SELECTOR.pack(*addresses, 0, 0, 0, 0, socket_family(inner.local), whole, whole, 0, 0, 0)


def _id(destination: IPv4Address, spi: int) -> bytes:
    return _ID.pack(_address(destination), spi.to_bytes(4, "big"), socket.IPPROTO_ESP)


def _state_id(destination: IPv4Address, spi: int) -> bytes:
    return _STATE_ID.pack(_address(destination), spi.to_bytes(4, "big"), socket.AF_INET, socket.IPPROTO_ESP)


def _address(address: IPv4Address) -> bytes:
    return _ADDRESS.pack(address.packed)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)
