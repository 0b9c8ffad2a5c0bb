"""BB84 between the two ends of a section, from prepared photons to secret bits.

Alice's and Bob's arrays stay apart: what one end knows of the other went through a :class:`Transcript`, the classical
channel, which each block authenticates with one-time keys taken from the key that it makes.

::

    Alice                                    Bob
    bits, bases  ---- photons, channel.py --->  bases, bits
                 <---- which clicked, bases --
                 --- which bases agree, ------>
                     which bits to disclose
                 <---- those bits ------------      error rate of the sample: abort above 11 %
                 ---- parities (Cascade) ----->
                 ---- verification hash ------>
                 ---- Toeplitz seed ---------->
                 <---- tags over all that ---->
    secret bits                                 secret bits
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from kms.errors import ExchangeError
from kms.sources.qkd import authentication
from kms.sources.qkd.amplify import secret_length, toeplitz_hash
from kms.sources.qkd.cascade import ParityOracle, reconcile
from kms.sources.qkd.channel import Bits, ChannelParameters, Positions, transmit

Entropy = Callable[[int], bytes]

ABORT_QBER = 0.11  # BB84 gives no key above it (Shor and Preskill 2000)
SAMPLE_FRACTION = 0.25
VERIFICATION_KEY_BYTES = authentication.ONE_TIME_KEY_BYTES
VERIFICATION_TAG_BITS = 8 * authentication.TAG_BYTES
# One tag in either direction per block.
AUTHENTICATION_BYTES = 2 * authentication.ONE_TIME_KEY_BYTES


def random_bits(entropy: Entropy, count: int) -> Bits:
    return np.unpackbits(np.frombuffer(entropy(-(-count // 8)), dtype=np.uint8), count=count)


@dataclass
class Transcript:
    """What either end said aloud. An eavesdropper reads it all; she must not change it."""

    from_alice: bytearray = field(default_factory=bytearray)
    from_bob: bytearray = field(default_factory=bytearray)

    def alice_says(self, *parts: Bits | Positions | bytes | bytearray) -> None:
        for part in parts:
            self.from_alice += bytes(part)

    def bob_says(self, *parts: Bits | Positions | bytes | bytearray) -> None:
        for part in parts:
            self.from_bob += bytes(part)


@dataclass(frozen=True)
class SiftedRound:
    """Both ends' bits of one round of pulses after sifting, without the sample that was disclosed."""

    alice: Bits = field(repr=False)
    bob: Bits = field(repr=False)
    pulses: int
    sample_bits: int
    sample_errors: int


def run_round(
    pulses: int,
    channel: ChannelParameters,
    intercepted_fraction: float,
    entropy: Entropy,
    nature: np.random.Generator,
    transcript: Transcript,
) -> SiftedRound:
    """Send ``pulses`` photons, sift, and disclose a random sample to estimate the error rate."""
    alice_bits, alice_bases = random_bits(entropy, pulses), random_bits(entropy, pulses)
    bob_bases = random_bits(entropy, pulses)
    detections = transmit(alice_bits, alice_bases, bob_bases, channel, intercepted_fraction, nature)

    announced_bases = bob_bases[detections.positions]
    transcript.bob_says(detections.positions, np.packbits(announced_bases))
    agree = alice_bases[detections.positions] == announced_bases
    alice_sifted = alice_bits[detections.positions[agree]]
    bob_sifted = detections.bits[agree]

    # Two random bits per position: all zero is one in four, SAMPLE_FRACTION.
    in_sample = (random_bits(entropy, len(alice_sifted)) | random_bits(entropy, len(alice_sifted))) == 0
    transcript.alice_says(np.packbits(agree), np.packbits(in_sample))
    disclosed = bob_sifted[in_sample]
    transcript.bob_says(np.packbits(disclosed))
    errors = int(np.count_nonzero(alice_sifted[in_sample] != disclosed))
    return SiftedRound(alice_sifted[~in_sample], bob_sifted[~in_sample], pulses, len(disclosed), errors)


@dataclass(frozen=True)
class DistilledBlock:
    """Secret bits of both ends (empty when the block gave none), and how they came about.

    ``leaked_bits`` is what reconciliation and verification disclosed, ``reconciled_bits`` the string's length before
    privacy amplification, ``corrected_errors`` what Cascade corrected in it.
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
    sample_bits: int,
    sample_errors: int,
    authentication_keys: tuple[bytes, bytes],
    entropy: Entropy,
    transcript: Transcript,
) -> DistilledBlock:
    """Reconcile, verify, amplify and authenticate one block of sifted bits.

    ``authentication_keys`` are Alice's and Bob's copies of AUTHENTICATION_BYTES of key that this block uses up.
    Raises ExchangeError when a tag does not verify.
    """
    qber = sample_errors / sample_bits if sample_bits else 1.0
    if qber > ABORT_QBER:
        return DistilledBlock(b"", b"", len(alice), 0, 0, reason="error rate above the abort threshold")

    shuffle_seed = entropy(16)
    transcript.alice_says(shuffle_seed)
    oracle = ParityOracle(alice)
    public_rng = np.random.default_rng(int.from_bytes(shuffle_seed, "big"))
    corrected, errors = reconcile(bob, oracle, qber, public_rng)
    leaked = oracle.disclosed_bits + VERIFICATION_TAG_BITS

    verification_key = entropy(VERIFICATION_KEY_BYTES)
    alice_tag = authentication.tag(verification_key, np.packbits(alice).tobytes())
    transcript.alice_says(oracle.answers, verification_key, alice_tag)
    transcript.bob_says(oracle.questions)
    try:
        authentication.check(verification_key, np.packbits(corrected).tobytes(), alice_tag, "verification")
    except ExchangeError:
        return DistilledBlock(b"", b"", len(alice), errors, leaked, reason="errors remained after reconciliation")

    length = secret_length(len(alice), sample_bits, qber, leaked) // 8 * 8
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


def _authenticate(transcript: Transcript, keys: tuple[bytes, bytes]) -> None:
    half = authentication.ONE_TIME_KEY_BYTES
    alice_key, bob_key = keys
    from_alice, from_bob = bytes(transcript.from_alice), bytes(transcript.from_bob)
    authentication.check(bob_key[:half], from_alice, authentication.tag(alice_key[:half], from_alice), "Alice to Bob")
    authentication.check(alice_key[half:], from_bob, authentication.tag(bob_key[half:], from_bob), "Bob to Alice")
