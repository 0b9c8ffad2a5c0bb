"""``bench qkd``: its figures mean what their names say, and its peer comes on demand or with a clear word."""

# What draws from the system's entropy is held to bounds of six sigma and more.
from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bench.peer_venv import SEQUENCE, Peer
from scripts.bench.qkd import run as qkd
from scripts.bench.qkd.run import RatePoint, Reconciling, Sifting
from scripts.errors import EnvironmentLacks


def test_sifting_sees_the_line_that_the_peer_gets() -> None:
    found = qkd.sift(10, seconds=0.05)
    per_pulse = qkd.LINE["mean_photons"] * qkd.LINE["efficiency"] * 10 ** (-qkd.LINE["db_per_km"])
    assert found.sifted_bits / found.pulses == pytest.approx(per_pulse / 2, rel=0.05)
    assert found.qber == pytest.approx((1 - qkd.LINE["fidelity"]) / 2, rel=0.4)


def test_reconciliation_is_counted_over_whole_blocks_and_leaves_no_key_that_differs() -> None:
    told: list[None] = []
    found = qkd.reconcile_many(qkd.RECONCILE_BLOCK + 1, lambda: told.append(None))
    assert (found.bits, found.blocks, len(told)) == (2 * qkd.RECONCILE_BLOCK, 2, 2)
    assert (found.unverified, found.mismatched_keys) == (0, 0)


def test_a_simulated_key_rate_is_the_analytic_one() -> None:
    point = qkd.rate_at(20)
    assert point.simulated_bps == pytest.approx(point.finite_bps, rel=0.3)
    assert point.finite_bps < point.vacuum_weak_bps < point.infinite_decoy_bps
    assert point.measured_qber == pytest.approx(point.expected_qber, rel=0.3)


def test_the_monte_carlo_agrees_with_the_published_line() -> None:
    figures = qkd.gys_figures()
    assert figures["monte_carlo.worst_sigma"] < 3
    assert round(figures["gys.cut_off_km"], 1) == 142.0


SIFTED = [Sifting(10, 1_000, 500, 2.0, 0.015), Sifting(30, 1_000, 100, 1.0, 0.015)]
PEERS = [Sifting(10, 0, 50, 2.0, 0.014), Sifting(30, 0, 10, 2.0, 0.014)]
POINT = RatePoint(10.0, 4.0, 3.0, 2.0, 1.9, 0.01, 0.011, 1_000)


def test_figures_have_the_names_of_the_contract() -> None:
    found = qkd.figures(SIFTED, PEERS, Reconciling(1_000_000, 0.5, 210_000, 1, 0, 0), [POINT])
    assert found["sifted_bps"] == 250
    assert found["sequence.sifted_bps"] == 25
    assert (found["km_10.ratio"], found["km_30.ratio"]) == (10, 20)
    assert found["reconcile.bps"] == 2_000_000
    assert found["reconcile.efficiency"] == pytest.approx(0.21 / 0.1943919)  # h(0.03)
    assert found["mismatched_keys"] == 0
    assert found["secret_bps.km_10.simulated"] == 1.9


def test_without_a_peer_its_names_are_absent() -> None:
    found = qkd.figures(SIFTED, [], Reconciling(1, 1.0, 1, 1, 0, 0), [])
    assert not any("sequence" in name or "ratio" in name for name in found)


def test_a_peer_that_cannot_be_installed_is_a_clear_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    said: list[str] = []
    with pytest.raises(EnvironmentLacks, match="--no-peer"):
        _peer(tmp_path, "nobody", "no-such-package-here==1.0").python(tmp_path, said.append)
    assert "no-such-package-here" in said[0]
    assert not (tmp_path / "nobody" / "installed.txt").exists()


def test_a_peer_that_is_there_is_not_installed_again(tmp_path: Path) -> None:
    home = tmp_path / "there"
    home.mkdir()
    peer = _peer(tmp_path, "there", "p==1")
    (home / "installed.txt").write_text(peer.lock.read_text(), encoding="utf-8")
    assert peer.python(tmp_path, pytest.fail) == home / "bin" / "python"


def _peer(folder: Path, name: str, package: str) -> Peer:
    lock = folder / f"{name}.lock"
    lock.write_text(f"{package} --hash=sha256:{'0' * 64}\n")
    return Peer(name, package, lock)


def test_the_peer_is_one_exact_version() -> None:
    assert SEQUENCE.version == "0.8.5"
