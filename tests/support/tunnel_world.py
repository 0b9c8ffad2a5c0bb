"""Two tunnel sessions joined in memory: simulated time, a network that loses, repeats and reorders, a key service.

Every datagram that a session emits is looked at: a (key, nonce) pair that comes with a second text fails the test at
once. The same octets sent again are no second text.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from typing import Any, TypedDict, TypeVar

from kms.tunnel.packet.ip_header import Address
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.effects import AskDecKeys, AskEncKeys, LinkChanged, SaInstalled, SendDatagram
from kms.tunnel.protocol.session import ENTROPY_BYTES, Session
from kms.tunnel.protocol.settings import Role, SessionSettings
from kms.tunnel.protocol.states import Link

A, B = IPv4Address("10.200.0.0"), IPv4Address("10.200.0.1")
A6, B6 = IPv6Address("fd51:5c1c::"), IPv6Address("fd51:5c1c::1")
STRANGER, STRANGER6 = IPv4Address("10.200.9.9"), IPv6Address("fd51:5c1c::99")
INITIATOR = SessionSettings(
    connection_id="slice/conn",
    role=Role.INITIATOR,
    local_address=A,
    peer_address=B,
    local_sae="sae-a",
    peer_sae="sae-b",
    key_source="qra",
)
RESPONDER = replace(
    INITIATOR, role=Role.RESPONDER, local_address=B, peer_address=A, local_sae="sae-b", peer_sae="sae-a"
)


class Ends(TypedDict):
    initiator: SessionSettings
    responder: SessionSettings


def both(**changes: Any) -> Ends:
    """World's two settings with the same fields changed at both ends."""
    return {"initiator": replace(INITIATOR, **changes), "responder": replace(RESPONDER, **changes)}


def dual(**changes: Any) -> Ends:
    """As :func:`both`, and IPv6 beside IPv4."""
    ends = both(**changes)
    return {
        "initiator": replace(ends["initiator"], local_address6=A6, peer_address6=B6),
        "responder": replace(ends["responder"], local_address6=B6, peer_address6=A6),
    }


def inner_packet(source: Address, destination: Address, payload: bytes) -> bytes:
    """An IP packet of the addresses' version with a header as far as the selectors look."""
    if source.version == 6:
        header = b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + bytes((17, 64))
        return header + source.packed + destination.packed + payload
    length = 20 + len(payload)
    header = bytes((0x45, 0)) + length.to_bytes(2, "big") + bytes(4) + bytes((64, 17)) + bytes(2)
    return header + source.packed + destination.packed + payload


@dataclass
class Weather:
    """What the network does to datagrams."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.001
    jitter_s: float = 0.0


@dataclass
class KeyService:
    """Hands out keys by id, each twin once, like a pair of KMEs."""

    random: random.Random
    delay_s: float = 0.002
    is_dry: bool = False
    is_down: bool = False
    undelivered: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    made: list[bytes] = field(default_factory=list)
    key_bytes: int = 32
    questions: int = 0

    def enc(self) -> tuple[str, bytes] | str:
        if self.is_down or self.is_dry:
            return "no key"
        key_id, key = self.random.randbytes(16).hex(), self.random.randbytes(self.key_bytes)
        self.undelivered[key_id] = key
        self.made.append(key)
        return key_id, key

    def dec(self, key_ids: tuple[str, ...]) -> tuple[str, list[bytes]]:
        """All or none, as ETSI 014 has it: a refusal or the keys."""
        self.asked.extend(key_ids)
        if self.is_down:
            return "down", []
        if any(key_id not in self.undelivered for key_id in key_ids):
            return "unknown", []
        return "", [self.undelivered.pop(key_id) for key_id in key_ids]


class NonceReused(AssertionError):
    """The one thing that must never happen."""


@dataclass
class End:
    """One end: its session, what it has delivered, what it has sent."""

    name: str
    session: Session
    delivered: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    traffic_keys: dict[bytes, bytes] = field(default_factory=dict)  # outbound SPI -> key | salt


class World:
    """Runs both ends event by event."""

    def __init__(
        self,
        *,
        seed: int = 0,
        weather: Weather | None = None,
        initiator: SessionSettings = INITIATOR,
        responder: SessionSettings = RESPONDER,
    ) -> None:
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.keys = KeyService(self.random)
        self.now = 1000.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = count()
        self._nonces: dict[bytes, int] = {}
        self.settings = {"a": initiator, "b": responder}
        self.a = self._make("a")
        self.b = self._make("b")
        self.intercept: Callable[[End, bytes], bytes | None] = lambda _, datagram: datagram

    def _make(self, name: str) -> End:
        return End(name, Session(self.settings[name], self.random.randbytes(8)))

    def start(self) -> None:
        for end in (self.a, self.b):
            end.session.start(self.now)
            self.settle(end)

    def restart(self, end: End) -> End:
        """The process dies and comes back with nothing."""
        fresh = self._make(end.name)
        setattr(self, end.name, fresh)
        fresh.session.start(self.now)
        self.settle(fresh)
        return fresh

    def peer(self, end: End) -> End:
        return self.b if end.name == "a" else self.a

    def send(self, end: End, packet: bytes) -> None:
        """An inner packet enters the tunnel at ``end``."""
        datagram = end.session.outbound.send_packet(packet, self.now)
        if datagram is not None:
            self._transmit(end, datagram)
        self.settle(end)

    def send_payload(self, end: End, payload: bytes) -> None:
        settings = self.settings[end.name]
        self.send(end, inner_packet(settings.local_address, settings.peer_address, payload))

    def inject(self, end: End, datagram: bytes) -> None:
        """A datagram arrives at ``end`` now."""
        packet = end.session.inbound.receive_datagram(datagram, self.now)
        if packet is not None:
            end.delivered.append(packet)
        self.settle(end)

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._ticket), action))

    def run(self, duration_s: float) -> None:
        """Let ``duration_s`` pass."""
        end_at = self.now + duration_s
        while True:
            timers = [
                (due, end)
                for end in (self.a, self.b)
                if (due := end.session.next_timer()) is not None and due <= end_at
            ]
            timer = min(timers, key=lambda pair: pair[0], default=None)
            if self._queue and self._queue[0][0] <= end_at and (timer is None or self._queue[0][0] <= timer[0]):
                when, _, action = heapq.heappop(self._queue)
                self.now = max(self.now, when)
                action()
            elif timer is not None:
                self.now = max(self.now, timer[0])
                timer[1].session.handle_timer(self.now)
                self.settle(timer[1])
            else:
                self.now = end_at
                return

    def settle(self, end: End) -> None:
        """Carry out what the session wants."""
        for effect in end.session.take_effects():
            match effect:
                case SendDatagram(datagram):
                    self._transmit(end, datagram)
                case AskEncKeys(request, number=number):
                    self.at(self.now + self.keys.delay_s, partial(self._answer_enc, end, request, number))
                case AskDecKeys(request, _, _, key_ids):
                    self.at(self.now + self.keys.delay_s, partial(self._answer_dec, end, request, key_ids))
                case LinkChanged(link):
                    end.links.append(link)
                case SaInstalled(is_outbound=True, spi=spi, key=key, salt=salt):
                    end.traffic_keys[spi.to_bytes(4, "big")] = key + salt

    def _answer_enc(self, end: End, request: int, number: int) -> None:
        self.keys.key_bytes = end.session.settings.suite.master_bytes
        self.keys.questions += 1
        answers = [self.keys.enc() for _ in range(number)]
        found = [answer for answer in answers if not isinstance(answer, str)]
        if len(found) < number:
            end.session.key_refused(request, "no key", self.now, is_final=False)
        else:
            end.session.keys_obtained(request, found, self.now, self.random.randbytes(number * ENTROPY_BYTES))
        self.settle(end)

    def _answer_dec(self, end: End, request: int, key_ids: tuple[str, ...]) -> None:
        self.keys.questions += 1
        refusal, keys = self.keys.dec(key_ids)
        if refusal:
            end.session.key_refused(request, refusal, self.now, is_final=refusal == "unknown")
        else:
            found = list(zip(key_ids, keys, strict=True))
            end.session.keys_obtained(request, found, self.now, self.random.randbytes(len(found) * ENTROPY_BYTES))
        self.settle(end)

    def _transmit(self, end: End, datagram: bytes) -> None:
        self._check_nonce(end, datagram)
        end.sent.append(datagram)
        onward = self.intercept(end, datagram)
        if onward is None:
            return
        copies = 1 + (self.random.random() < self.weather.duplication)
        for _ in range(copies):
            if self.random.random() >= self.weather.loss:
                delay = self.weather.delay_s + self.random.random() * self.weather.jitter_s
                self.at(self.now + delay, lambda: self.inject(self.peer(end), onward))

    def _check_nonce(self, end: End, datagram: bytes) -> None:
        if datagram[:4] == bytes(4):
            return
        used = end.traffic_keys[datagram[:4]] + datagram[8:16]  # key | salt | IV
        mark = hash(datagram)  # not the datagram: this memory is for all there ever were
        if self._nonces.setdefault(used, mark) != mark:
            raise NonceReused


W = TypeVar("W", bound="World")


def up(world: W) -> W:
    world.start()
    world.run(0.1)
    assert (world.a.session.link, world.b.session.link) == (Link.UP, Link.UP)
    return world


def payloads(delivered: list[bytes]) -> list[bytes]:
    return [packet[20:] for packet in delivered]


def kind_of(datagram: bytes) -> object:
    if datagram[:4] != bytes(4):
        return None
    return messages.decode(datagram, messages.connection_tag("slice/conn")).message
