"""Mutated datagrams for a session: ``python -m tests.mutation.datagrams --datagrams 1000000`` is the long proof.

Each is a genuine datagram (ESP or control message, old or new) with octets changed, cut, repeated, inserted or swapped
with another one's, or noise. The session must not raise, must not grow, must count each one, and must deliver nothing
but what its peer has sent.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from dataclasses import fields
from functools import partial

from kms.tunnel.packet.cipher_suites import DEFAULT, SUITES, Suite
from kms.tunnel.packet.frame_buffer import Frames
from tests.support.tunnel_world import End, World, dual, inner_packet, up

MAX_BURST = 44
ROUND = 500
DELIVERED_COUNTER = "rx_packets"
# What a datagram is counted as; the other counters tell of what came of it.
FATES = (
    DELIVERED_COUNTER, "rx_selector_drops", "rx_replay_drops", "rx_copies", "rx_auth_failures", "rx_malformed",
    "rx_unknown_spi", "rx_expired_drops", "rx_keepalives", "rx_dummies", "control_received", "control_malformed",
)  # fmt: skip


def mutated(source: random.Random, samples: list[bytes]) -> bytes:
    """One datagram that was genuine once, and hardly is any more."""
    datagram = bytearray(source.choice(samples))
    for _ in range(source.randrange(4)):
        kind = source.randrange(7)
        at = source.randrange(len(datagram)) if datagram else 0
        if kind == 0 and datagram:
            datagram[at] = source.randrange(256)
        elif kind == 1 and datagram:
            datagram[at] ^= 1 << source.randrange(8)
        elif kind == 2:
            del datagram[at:]
        elif kind == 3:
            datagram[at:at] = source.randbytes(source.randrange(64))
        elif kind == 4:
            datagram += datagram[:at]
        elif kind == 5:
            datagram[:at] = source.choice(samples)[:at]
        elif datagram:
            datagram[:16] = datagram[:12] + source.randrange(2**32).to_bytes(4, "big")
    return bytes(datagram[:65507])


class Bombardment:
    """A world that lives on under mutated datagrams at both ends, one by one and in bursts."""

    def __init__(self, seed: int, suite: Suite = DEFAULT) -> None:
        self._source = random.Random(seed)
        self._world = up(World(seed=seed, **dual(suite=suite, rekey_s=0.5, lifetime_s=5.0)))
        self._world.weather.loss = 0.4  # what was lost may still come, and then it passes
        self._frames = Frames(131072, in_place=False)
        self.datagrams = 0
        self.delivered = 0
        self._genuine: dict[bytes, None] = {}  # in the order of sending

    def round(self) -> None:
        """Genuine traffic, then mutations of it at both ends, then a little time."""
        world = self._world
        for n in range(20):
            for end in (world.a, world.b):
                settings = world.settings[end.name]
                payload = n.to_bytes(2, "big") + self._source.randbytes(self._source.choice((3, 60, 1400)))
                packet = inner_packet(*self._source.choice(settings.pairs), payload)
                self._genuine[packet] = None
                world.send(end, packet)
        world.run(0.02)
        for end in (world.a, world.b):
            samples = world.peer(end).sent[-200:] + end.sent[-20:]
            for _ in range(ROUND // 2 // 2):
                self._one(end, mutated(self._source, samples))
            while self._source.random() < 0.8:
                self._burst(end, samples)
            self._check(end)
            del end.sent[:-200], end.delivered[:], end.links[:]
        if len(self._genuine) > 20_000:  # far more than the samples that are still mutated
            self._genuine = dict.fromkeys(list(self._genuine)[-10_000:])
        world.run(0.01)

    def _one(self, end: End, datagram: bytes) -> None:
        before = fates(end)
        world = self._world
        packet = end.session.inbound.receive_datagram(datagram, world.now)
        world.settle(end)
        assert fates(end) == before + 1, datagram.hex()
        self.datagrams += 1
        if packet is not None:
            self.delivered += 1
            assert packet in self._genuine

    def _burst(self, end: End, samples: list[bytes]) -> None:
        """Equally long ones side by side, as UDP_GRO gives them; opened together where that is possible."""
        first = next(d for d in [self._source.choice(samples) for _ in range(50)] + [bytes(64)] if len(d) % 4 == 0)
        same = [d for d in samples if len(d) == len(first)][: self._source.randrange(2, MAX_BURST)]
        burst = [d if self._source.random() < 0.7 else mutated(self._source, [d]) for d in same]
        burst = [d for d in burst if len(d) == len(first)]
        if len(burst) < 2 or len(first) < 36:
            return
        before = fates(end)
        whole = b"".join(burst)
        self._frames.view[: len(whole)] = whole
        rows = end.session.inbound.open_frames(self._frames.shape(len(first)), len(burst), self._world.now)
        if rows is None:
            assert fates(end) == before
            for datagram in burst:
                self._one(end, datagram)
            return
        assert fates(end) == before + len(burst)
        self.datagrams += len(burst)
        self.delivered += len(rows)
        assert all(bytes(row) in self._genuine for row in rows)

    def _check(self, end: End) -> None:
        session = end.session
        assert len(session._book.by_spi) <= 32
        assert not session.has_effects()


def fates(end: End) -> int:
    counters = end.session.counters
    return sum(getattr(counters, name) for name in FATES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datagrams", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--suite", choices=SUITES, default=DEFAULT.name)
    arguments = parser.parse_args()
    bombardment = Bombardment(arguments.seed, SUITES[arguments.suite])
    started, peak = time.monotonic(), partial(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    warm = 0
    while bombardment.datagrams < arguments.datagrams:
        bombardment.round()
        if not warm and bombardment.datagrams > arguments.datagrams // 10:
            warm = peak()
    counters = bombardment._world.b.session.counters
    for field in fields(counters):
        print(f"{field.name} {getattr(counters, field.name)}")
    took_s = time.monotonic() - started
    print(f"{bombardment.datagrams} datagrams in {took_s:.0f} s, {bombardment.delivered} of them genuine and new")
    print(f"peak memory {warm} KB after a tenth, {peak()} KB at the end")


if __name__ == "__main__":
    main()
