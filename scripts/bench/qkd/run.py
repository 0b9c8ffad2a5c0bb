"""``bench qkd``: how fast the quantum layer is simulated and distilled, how near theory it comes, and beside what."""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kms.sources.qkd.bounds import asymptotic
from kms.sources.qkd.bounds.asymptotic import Line, infinite_decoy, key_rate, vacuum_weak
from kms.sources.qkd.bounds.entropy import binary_entropy
from kms.sources.qkd.forecast import BLOCK_DETECTIONS, expected_qber, forecast_rate
from kms.sources.qkd.link.attacks import NO_ATTACK
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import expected
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import SourceSettings
from kms.sources.qkd.modes import Protocol
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.post_processing.cascade import ParityOracle, reconcile
from kms.sources.qkd.post_processing.privacy_amplification import toeplitz_hash
from kms.sources.qkd.protocol import Transcript, run_round
from kms.sources.qkd.section import Distiller
from scripts.measure.errors import MeasurementError

PEER_KM = (10, 30)
OURS_S = 3.0  # wall time of each of our measurements
PEER_TIMEOUT_S = 600.0
# The same line for both. SeQUeNCe draws each photon, so the fewer a pulse holds the faster it is: a tenth is its own
# examples' choice and its best.
LINE = {
    "db_per_km": 0.2, "fidelity": 0.97, "pulse_rate_hz": 80e6, "mean_photons": 0.1, "efficiency": 0.2,
    "dark_count_hz": 100.0, "count_rate_hz": 50e6, "key_bits": 256, "keys": 60,
}  # fmt: skip

RECONCILE_QBER = 0.03
RECONCILE_BLOCK = 1 << 20
KEY_BITS = 256

DISTANCES_KM = tuple(range(0, 151, 10))
BLOCKS_PER_DISTANCE = 2
GYS_KM = (0, 50, 100, 140)
GYS_MU, GYS_NU, GYS_F = 0.48, 0.05, 1.22
MONTE_CARLO_DETECTIONS = 2_000_000
SEED = 1984
NOTES = [
    "one process, one thread; sifted bits per wall second are those of simulation and sifting, as in SeQUeNCe's run",
    "SeQUeNCe simulates BB84 with one intensity, without decoys; ours here sends signals of the same mean",
    f"reconcile: Cascade at {RECONCILE_QBER:.0%} errors; efficiency is disclosed bits over Shannon's limit; a key is "
    f"{KEY_BITS} bits hashed from each end's string after the verification hash has agreed",
    f"secret_bps: sections' default parameters, blocks of {BLOCK_DETECTIONS} detections, bounds of Lim et al. 2014",
]


@dataclass(frozen=True)
class Sifting:
    """What a line gave in so many wall seconds."""

    km: float
    pulses: int
    sifted_bits: int
    wall_s: float
    qber: float


@dataclass(frozen=True)
class Reconciling:
    """What reconciling so many bits took, disclosed and left over."""

    bits: int
    wall_s: float
    disclosed_bits: int
    blocks: int
    unverified: int
    mismatched_keys: int


@dataclass(frozen=True)
class RatePoint:
    """Secret bits per second and error rates at a distance: by theory and as simulated."""

    km: float
    infinite_decoy_bps: float
    vacuum_weak_bps: float
    finite_bps: float
    simulated_bps: float
    expected_qber: float
    measured_qber: float
    pulses: int


def sift(km: float, seconds: float = OURS_S) -> Sifting:
    """Our simulation of SeQUeNCe's line: source, fibre, detectors, sifting, both ends' bits."""
    channel = ChannelParameters(
        km, LINE["db_per_km"], LINE["pulse_rate_hz"], LINE["efficiency"],
        dark_count_probability=2 * LINE["dark_count_hz"] / LINE["pulse_rate_hz"],
        misalignment=(1 - LINE["fidelity"]) / 2, afterpulse_probability=0.0, dead_time_us=1e6 / LINE["count_rate_hz"],
    )  # fmt: skip
    settings = SourceSettings(LINE["mean_photons"], LINE["mean_photons"] / 2, 0.98, 0.01, 0.5)
    line = QuantumChannel(channel, settings)
    nature = np.random.default_rng(SEED)
    pulses = int(100_000 / expected(channel, settings).detections)
    sent = bits = errors = disclosed = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        sifted = run_round(pulses, line, settings, os.urandom, nature, Transcript())
        sent += pulses
        bits += int(sifted.tally.key.sum() + sifted.tally.test.sum())
        errors += int(sifted.tally.test_errors.sum())
        disclosed += int(sifted.tally.test.sum())
    return Sifting(km, sent, bits, time.perf_counter() - began, errors / disclosed)


def sift_with_sequence(python: Path, km: float) -> Sifting:
    """The same line in SeQUeNCe."""
    program = Path(__file__).with_name("sequence_peer.py")
    argv = [str(python), str(program), json.dumps({**LINE, "km": km})]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PEER_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"SeQUeNCe took over {PEER_TIMEOUT_S:.0f} s for {km} km") from None
    if done.returncode:
        raise MeasurementError(f"SeQUeNCe failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    found = json.loads(done.stdout)
    return Sifting(km, 0, int(found["sifted_bits"]), float(found["wall_s"]), float(found["error_rate"]))


def reconcile_blocks(bits: int) -> int:
    """How many blocks hold at least so many bits."""
    return -(-bits // RECONCILE_BLOCK)


def reconcile_many(bits: int, advance: Callable[[], None]) -> Reconciling:
    """Reconcile random strings, verify them, and hash a key from either end's; only reconciliation is timed."""
    rng = np.random.default_rng(SEED)
    blocks = reconcile_blocks(bits)
    wall_s, disclosed, unverified, mismatched = 0.0, 0, 0, 0
    for _ in range(blocks):
        alice = np.unpackbits(np.frombuffer(rng.bytes(RECONCILE_BLOCK // 8), dtype=np.uint8))
        bob = alice ^ (rng.random(RECONCILE_BLOCK, dtype=np.float32) < RECONCILE_QBER)
        began = time.perf_counter()
        oracle = ParityOracle(alice)
        corrected, _ = reconcile(bob, oracle, RECONCILE_QBER, rng)
        wall_s += time.perf_counter() - began
        disclosed += oracle.disclosed_bits
        key = os.urandom(authentication.ONE_TIME_KEY_BYTES)
        tags = [authentication.tag(key, np.packbits(end).tobytes()) for end in (alice, corrected)]
        if tags[0] != tags[1]:
            unverified += 1  # thrown away: no key is made of it
        else:
            seed = np.unpackbits(np.frombuffer(os.urandom((RECONCILE_BLOCK + KEY_BITS) // 8), dtype=np.uint8))
            seed = seed[: RECONCILE_BLOCK + KEY_BITS - 1]
            keys = [toeplitz_hash(end, seed, KEY_BITS) for end in (alice, corrected)]
            mismatched += not np.array_equal(keys[0], keys[1])
        advance()
    return Reconciling(blocks * RECONCILE_BLOCK, wall_s, disclosed, blocks, unverified, mismatched)


def rate_at(km: float) -> RatePoint:
    """Theory and full simulation of a default section of this length."""
    channel = ChannelParameters(km)
    line, f = channel.line, channel.error_correction_efficiency
    mu = asymptotic.optimal_signal(line, f)
    pulses = secret = errors = sample = blocks = 0
    distiller = Distiller(channel, os.urandom, np.random.default_rng(SEED), first_block=BLOCK_DETECTIONS)
    while blocks < BLOCKS_PER_DISTANCE:
        work = distiller.work(_rounds(distiller, channel), NO_ATTACK, keep=True)
        pulses += work.pulses
        blocks += len(work.blocks)
        secret += sum(block.secret_bits for block in work.blocks)
        sample += sum(v.judgement.sample_bits for v in work.verdicts)
        errors += sum(v.judgement.errors for v in work.verdicts)
    return RatePoint(
        km,
        max(0.0, key_rate(line, mu, f, infinite_decoy(line))) * channel.pulse_rate_hz,
        max(0.0, key_rate(line, mu, f, vacuum_weak(line, mu, mu / 10))) * channel.pulse_rate_hz,
        forecast_rate(channel, expected_qber(channel, Protocol.BB84)),
        secret / (pulses / channel.pulse_rate_hz),
        expected_qber(channel, Protocol.BB84),
        errors / sample if sample else 0.0,
        pulses,
    )


def _rounds(distiller: Distiller, channel: ChannelParameters) -> int:
    """Long lines have few detections a round: as many rounds at a time as make about a tenth of a block."""
    per_pulse = channel.transmittance * 0.2
    return max(1, int(BLOCK_DETECTIONS / 10 / (per_pulse * distiller.round_pulses)))


def gys_figures() -> dict[str, float]:
    """The line of Gobby, Yuan and Shields by the formulas of Ma et al. 2005, and the Monte Carlo against it."""
    figures: dict[str, float] = {}
    worst = 0.0
    rng = np.random.default_rng(SEED)
    settings = SourceSettings(GYS_MU, GYS_NU, 0.5, 0.3, 0.5)
    for km in GYS_KM:
        line = _gys(km)
        figures[f"gys.km_{km}.secret_per_1e9_pulses"] = 1e9 * key_rate(line, GYS_MU, GYS_F, infinite_decoy(line))
        figures[f"gys.km_{km}.qber_pct"] = 100 * line.error_rate(GYS_MU)
        channel = ChannelParameters(
            km, 0.21, detector_efficiency=0.045, dark_count_probability=line.y0, misalignment=line.e_d,
            afterpulse_probability=0.0, dead_time_us=0.0,
        )  # fmt: skip
        worst = max(worst, _deviation(channel, settings, line, rng))
    figures["gys.cut_off_km"] = _cut_off(lambda line: infinite_decoy(line))
    figures["gys.cut_off_vacuum_weak_km"] = _cut_off(lambda line: vacuum_weak(line, GYS_MU, GYS_NU))
    figures["monte_carlo.worst_sigma"] = worst
    return figures


def _gys(km: float) -> Line:
    return Line(0.045 * 10 ** (-0.21 * km / 10), 1.7e-6, 0.033)


def _cut_off(single: Callable[[Line], asymptotic.SinglePhotons]) -> float:
    low, high = 0.0, 300.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        is_positive = key_rate(_gys(middle), GYS_MU, GYS_F, single(_gys(middle))) > 0
        low, high = (middle, high) if is_positive else (low, middle)
    return low


def _deviation(channel: ChannelParameters, settings: SourceSettings, line: Line, rng: np.random.Generator) -> float:
    """How many sigma the worst of gains and error rates, by intensity, lies off the formulas."""
    quantum = QuantumChannel(channel, settings)
    pulses = int(MONTE_CARLO_DETECTIONS / quantum.clicks.probability)
    detections = quantum.send(pulses, rng)
    alice = rng.integers(0, 2, len(detections.positions), dtype=np.uint8)
    measured = quantum.measure(alice, detections.is_afterpulse, rng)
    worst = 0.0
    for intensity, (mean, share) in enumerate(zip(settings.means, settings.shares, strict=True)):
        here = measured.intensities == intensity
        for count, trials, probability in (
            (int(here.sum()), int(pulses * share), line.gain(mean)),
            (int((measured.bits != alice)[here].sum()), int(here.sum()), line.error_rate(mean)),
        ):
            spread = math.sqrt(trials * probability * (1 - probability))
            worst = max(worst, abs(count - trials * probability) / spread)
    return worst


def figures(
    ours: Sequence[Sifting], peers: Sequence[Sifting], reconciling: Reconciling, points: Sequence[RatePoint]
) -> dict[str, float]:
    """By the names of the contract; without a peer its names are absent."""
    found: dict[str, float] = {"sifted_bps": ours[0].sifted_bits / ours[0].wall_s}
    if peers:
        found["sequence.sifted_bps"] = peers[0].sifted_bits / peers[0].wall_s
    for one in ours:
        found[f"km_{one.km:g}.sifted_bps"] = one.sifted_bits / one.wall_s
        found[f"km_{one.km:g}.pulses_per_s"] = one.pulses / one.wall_s
        found[f"km_{one.km:g}.qber_pct"] = 100 * one.qber
    for one, peer in zip(ours, peers, strict=False):
        speed = peer.sifted_bits / peer.wall_s
        found[f"km_{one.km:g}.sequence.sifted_bps"] = speed
        found[f"km_{one.km:g}.sequence.qber_pct"] = 100 * peer.qber
        found[f"km_{one.km:g}.ratio"] = one.sifted_bits / one.wall_s / speed
    found["reconcile.bits"] = reconciling.bits
    found["reconcile.bps"] = reconciling.bits / reconciling.wall_s
    limit = reconciling.bits * binary_entropy(RECONCILE_QBER)
    found["reconcile.efficiency"] = reconciling.disclosed_bits / limit
    found["reconcile.blocks_with_errors_left"] = reconciling.unverified
    found["mismatched_keys"] = reconciling.mismatched_keys
    for point in points:
        found[f"secret_bps.km_{point.km:g}.analytic"] = point.finite_bps
        found[f"secret_bps.km_{point.km:g}.simulated"] = point.simulated_bps
        found[f"secret_bps.km_{point.km:g}.infinite_decoy"] = point.infinite_decoy_bps
    return found


def as_lists(ours: Sequence[Sifting], peers: Sequence[Sifting], points: Sequence[RatePoint]) -> dict[str, Any]:
    """Every measurement, for the file beside the picture."""
    return {
        "ours": [asdict(o) for o in ours],
        "sequence": [asdict(p) for p in peers],
        "rates": [asdict(p) for p in points],
    }
