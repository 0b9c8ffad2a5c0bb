"""BB84 by quantum circuits, as paper 000 runs it, against what the simulation assumes of a measurement.

Needs qiskit (the extra `quantum`), which set-up leaves out: `.venv/bin/pip install qiskit`. Every circuit is small
enough for its exact distribution, so nothing here is drawn at random.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from kms.sources.qkd.link.attacks import Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import click_statistics
from kms.sources.qkd.link.settings import SourceSettings

qiskit = pytest.importorskip("qiskit", reason="the optional extra `quantum` (qiskit) is not installed")
quantum_info = pytest.importorskip("qiskit.quantum_info", reason="the optional extra `quantum` is not installed")

BITS = BASES = (0, 1)


def prepared(bit: int, basis: int) -> Any:
    """Alice's photon: |0>, |1>, |+> or |->."""
    circuit = qiskit.QuantumCircuit(1)
    if bit:
        circuit.x(0)
    if basis:
        circuit.h(0)
    return circuit


def measured(state: Any, basis: int) -> tuple[float, float]:
    """Probabilities of 0 and 1 in a basis."""
    turn = qiskit.QuantumCircuit(1)
    if basis:
        turn.h(0)
    zero, one = state.evolve(turn).probabilities()
    return float(zero), float(one)


@pytest.mark.parametrize(("bit", "basis", "bob"), list(itertools.product(BITS, BASES, BASES)))
def test_a_measurement_is_certain_in_the_same_basis_and_a_coin_in_the_other(bit: int, basis: int, bob: int) -> None:
    outcome = measured(quantum_info.Statevector(prepared(bit, basis)), bob)
    if basis == bob:
        assert outcome[bit] == pytest.approx(1.0)
    else:
        assert outcome == pytest.approx((0.5, 0.5))


def intercepted_error_rate() -> float:
    """Bob's error rate in Alice's basis when Eve measures every photon and resends what she saw: summed exactly."""
    errors = cases = 0.0
    for bit, basis, eve in itertools.product(BITS, BASES, BASES):
        seen = measured(quantum_info.Statevector(prepared(bit, basis)), eve)
        for eve_bit, probability in enumerate(seen):
            at_bob = measured(quantum_info.Statevector(prepared(eve_bit, eve)), basis)
            errors += probability * at_bob[1 - bit]
        cases += 1
    return errors / cases


def test_interception_in_circuits_gives_the_simulations_error_rate() -> None:
    assert intercepted_error_rate() == pytest.approx(0.25)
    # With single photons and perfect devices, which is what a circuit has.
    perfect = ChannelParameters(
        10.0, dark_count_probability=0.0, misalignment=0.0, afterpulse_probability=0.0, dead_time_us=0.0
    )
    for fraction in (0.2, 1.0):
        table = click_statistics(perfect, SourceSettings(0.5, 0.1), Attack(fraction=fraction)).weights
        by_pattern = table[:, 1].sum(axis=(0, 1))
        error_rate = (by_pattern[1] + by_pattern[2] / 2) / by_pattern.sum()
        assert error_rate == pytest.approx(fraction * intercepted_error_rate())


def test_misalignment_is_a_rotation_of_the_photon() -> None:
    """A photon turned by theta goes to the wrong detector with probability sin^2 theta, in either basis."""
    for misalignment, (bit, basis) in itertools.product((0.015, 0.033), itertools.product(BITS, BASES)):
        circuit = prepared(bit, basis)
        # A polarisation angle theta is 2 theta on the sphere; a rotation about y turns both bases alike.
        circuit.ry(2 * float(np.arcsin(np.sqrt(misalignment))), 0)
        outcome = measured(quantum_info.Statevector(circuit), basis)
        assert outcome[1 - bit] == pytest.approx(misalignment)


def test_eight_photons_at_once_are_eight_times_one() -> None:
    """A register of photons in random states, measured in random bases: agreeing ones are Alice's bits."""
    rng = np.random.default_rng(5)
    bits, bases, bob = rng.integers(0, 2, (3, 8))
    circuit = qiskit.QuantumCircuit(8)
    for photon in range(8):
        circuit.compose(prepared(int(bits[photon]), int(bases[photon])), [photon], inplace=True)
        if bob[photon]:
            circuit.h(photon)
    state = quantum_info.Statevector(circuit)
    for photon in range(8):
        wanted = float(bits[photon]) if bases[photon] == bob[photon] else 0.5
        assert float(state.probabilities([photon])[1]) == pytest.approx(wanted)
