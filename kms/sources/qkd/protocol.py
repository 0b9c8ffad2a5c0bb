"""Decoy-state BB84 between the two ends of a section, from weak pulses to secret bits.

Alice's and Bob's arrays stay apart: what one end knows of the other went through a :class:`Transcript`, the classical
channel, which each block authenticates with one-time keys taken from the key that it makes.

::

    Alice                                        Bob
    bits, bases, --- pulses, monte_carlo.py --->  bases, bits
    intensities
                 <--- which clicked, in which basis
                 ---- which bases agree, ------>
                      intensities there,
                      all bits of the test basis
                 <--- his bits of the test basis  error rate, decoys' share: abort above the threshold
                 ---- parities (Cascade) ------>
                 ---- verification hash ------->
                 ---- Toeplitz seed ----------->
                 <--- tags over all that ------>
    secret bits                                   secret bits

The key comes from one basis, and what both measured in the other is the sample that is disclosed (Lim et al. 2014):
which pulses are in it was decided at random, before they were sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kms.errors import ExchangeError
from kms.sources.qkd.bounds import finite
from kms.sources.qkd.forecast import AUTHENTICATION_BYTES
from kms.sources.qkd.link.channel import Bits, Positions
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import SourceSettings
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.post_processing.authentication import OneTimeKeys
from kms.sources.qkd.post_processing.cascade import ParityOracle, reconcile
from kms.sources.qkd.post_processing.parameter_estimation import ERROR_PATTERN_BITS, tell_bits_apart
from kms.sources.qkd.post_processing.privacy_amplification import toeplitz_hash

Entropy = Callable[[int], bytes]

INTENSITIES = 3
VERIFICATION_KEY_BYTES = authentication.ONE_TIME_KEY_BYTES
VERIFICATION_TAG_BITS = 8 * authentication.TAG_BYTES
_BASIS_STEPS = 256  # a basis is drawn with one random byte


def random_bits(entropy: Entropy, count: int) -> Bits:
    return np.unpackbits(np.frombuffer(entropy(-(-count // 8)), dtype=np.uint8), count=count)


@dataclass
class Transcript:
    """What either end said aloud. An eavesdropper reads it all; she must not change it."""

    from_alice: bytearray = field(default_factory=bytearray)
    from_bob: bytearray = field(default_factory=bytearray)

    def alice_says(self, *parts: Bits | bytes | bytearray) -> None:
        for part in parts:
            self.from_alice += bytes(part)

    def bob_says(self, *parts: Bits | bytes | bytearray) -> None:
        for part in parts:
            self.from_bob += bytes(part)


def encoded_positions(positions: Positions) -> bytes:
    """Rising positions as the distances between them, in the fewest whole bytes that hold each: a byte that says how
    many, then the distances, least significant byte first. A block's transcript is kept until its tags are made.
    """
    gaps = np.diff(positions, prepend=0)
    width = next(width for width in (1, 2, 4, 8) if int(gaps.max(initial=0)) < 1 << 8 * width)
    return bytes([width]) + gaps.astype(f"<u{width}").tobytes()


def encoded_intensities(intensities: Bits) -> bytes:
    """Two bits each: all higher bits of the places, then all lower ones."""
    return np.packbits(intensities >> 1).tobytes() + np.packbits(intensities & 1).tobytes()


@dataclass
class Tally:
    """What both ends count, by intensity: bits of the key basis, of the test basis, errors in the latter."""

    key: NDArray[np.int64] = field(default_factory=lambda: np.zeros(INTENSITIES, dtype=np.int64))
    test: NDArray[np.int64] = field(default_factory=lambda: np.zeros(INTENSITIES, dtype=np.int64))
    test_errors: NDArray[np.int64] = field(default_factory=lambda: np.zeros(INTENSITIES, dtype=np.int64))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.key + other.key, self.test + other.test, self.test_errors + other.test_errors)

    @property
    def qber(self) -> float:
        """Error rate of the disclosed bits; 1 when there are none, because then nothing is known."""
        return float(self.test_errors.sum() / self.test.sum()) if self.test.any() else 1.0

    @property
    def counts(self) -> finite.Counts:
        return finite.Counts(*(np.asarray(x, dtype=np.float64) for x in (self.key, self.test, self.test_errors)))


@dataclass(frozen=True)
class SiftedRound:
    """Both ends' bits of the key basis of one round of pulses, and what was counted.

    ``photons`` (0, 1, 2 for more, in Alice's pulse) and ``is_known`` (to Eve) say of each bit what only nature knows.
    """

    alice: Bits = field(repr=False)
    bob: Bits = field(repr=False)
    pulses: int
    detections: int
    tally: Tally
    photons: Bits = field(repr=False)
    is_known: Bits = field(repr=False)


def run_round(
    pulses: int,
    channel: QuantumChannel,
    settings: SourceSettings,
    entropy: Entropy,
    nature: np.random.Generator,
    transcript: Transcript,
) -> SiftedRound:
    """Send ``pulses`` pulses, sift, and disclose the test basis.

    Alice's choices for pulses that nobody detects are never drawn: no one ever asks for them.
    """
    detections = channel.send(pulses, nature)
    count = len(detections.positions)
    limit = round(settings.key_basis * _BASIS_STEPS)
    alice_key = np.frombuffer(entropy(count), dtype=np.uint8) < limit
    bob_key = np.frombuffer(entropy(count), dtype=np.uint8) < limit
    transcript.bob_says(encoded_positions(detections.positions), np.packbits(bob_key))
    agree = np.flatnonzero(alice_key == bob_key)
    is_key = alice_key[agree]

    alice = random_bits(entropy, len(agree))
    measured = channel.measure(alice, detections.is_afterpulse[agree], nature)
    bob, intensities = measured.bits, measured.intensities
    alice_test, bob_test = alice[~is_key], bob[~is_key]
    transcript.alice_says(np.packbits(alice_key == bob_key), encoded_intensities(intensities), np.packbits(alice_test))
    transcript.bob_says(np.packbits(bob_test))
    in_test = intensities[~is_key]
    tally = Tally(
        np.bincount(intensities[is_key], minlength=INTENSITIES),
        np.bincount(in_test, minlength=INTENSITIES),
        np.bincount(in_test[alice_test != bob_test], minlength=INTENSITIES),
    )
    return SiftedRound(
        alice[is_key], bob[is_key], pulses, count, tally, measured.photons[is_key], measured.is_known[is_key]
    )


@dataclass(frozen=True)
class DistilledBlock:
    """Secret bits of both ends (empty when the block gave none), and how they came about.

    ``leaked_bits`` is what reconciliation and verification disclosed: Alice's answers, the tag, and the most that the
    places of the errors, which Bob's questions show, may say of the bits. ``reconciled_bits`` is the string's length
    before privacy amplification, ``corrected_errors`` what Cascade corrected in it.
    """

    alice: bytes = field(repr=False)
    bob: bytes = field(repr=False)
    reconciled_bits: int
    corrected_errors: int
    leaked_bits: int
    reason: str = ""

    @property
    def secret_bits(self) -> int:
        return 8 * len(self.alice)


def distil(
    alice: Bits,
    bob: Bits,
    tally: Tally,
    settings: SourceSettings,
    abort_qber: float,
    authentication_keys: tuple[OneTimeKeys, OneTimeKeys],
    entropy: Entropy,
    transcript: Transcript,
) -> DistilledBlock:
    """Reconcile, verify, amplify and authenticate one block of sifted bits.

    ``authentication_keys`` are Alice's and Bob's stocks: a tag in either direction uses a key up, whatever becomes of
    the block. Raises ExchangeError when a tag does not verify, ShortOfKeyError when there is no key for one.
    """
    if tally.qber > abort_qber:
        return DistilledBlock(b"", b"", len(alice), 0, 0, reason="error rate above the abort threshold")

    shuffle_seed = entropy(16)
    transcript.alice_says(shuffle_seed)
    oracle = ParityOracle(alice)
    public_rng = np.random.default_rng(int.from_bytes(shuffle_seed, "big"))
    corrected, errors = reconcile(bob, oracle, tally.qber, public_rng)
    leaked = oracle.disclosed_bits + VERIFICATION_TAG_BITS + ERROR_PATTERN_BITS

    verification_key = entropy(VERIFICATION_KEY_BYTES)
    alice_tag = authentication.tag(verification_key, np.packbits(alice).tobytes())
    transcript.alice_says(oracle.answers, verification_key, alice_tag)
    transcript.bob_says(oracle.questions)
    try:
        authentication.check(verification_key, np.packbits(corrected).tobytes(), alice_tag, "verification")
    except ExchangeError:
        return DistilledBlock(b"", b"", len(alice), errors, leaked, reason="errors remained after reconciliation")

    if tell_bits_apart(int(np.count_nonzero(corrected[corrected != bob])), errors):
        return DistilledBlock(b"", b"", len(alice), errors, leaked, reason="the errors tell zeros from ones")
    proven = finite.bounds(tally.counts, settings.means, settings.shares)
    length = int(finite.secret_length(proven, leaked)) // 8 * 8
    if length <= 8 * AUTHENTICATION_BYTES:
        return DistilledBlock(b"", b"", len(alice), errors, leaked, reason="too little left after what leaked")
    seed = random_bits(entropy, len(alice) + length - 1)
    transcript.alice_says(np.packbits(seed))
    _authenticate(transcript, authentication_keys)
    return DistilledBlock(
        alice=np.packbits(toeplitz_hash(alice, seed, length)).tobytes(),
        bob=np.packbits(toeplitz_hash(corrected, seed, length)).tobytes(),
        reconciled_bits=len(alice),
        corrected_errors=errors,
        leaked_bits=leaked,
    )


def _authenticate(transcript: Transcript, keys: tuple[OneTimeKeys, OneTimeKeys]) -> None:
    alice, bob = keys
    from_alice, from_bob = bytes(transcript.from_alice), bytes(transcript.from_bob)
    authentication.check(bob.take(), from_alice, authentication.tag(alice.take(), from_alice), "Alice to Bob")
    authentication.check(alice.take(), from_bob, authentication.tag(bob.take(), from_bob), "Bob to Alice")
