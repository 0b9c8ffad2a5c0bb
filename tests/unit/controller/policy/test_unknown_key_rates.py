"""While nobody knows the key rates, connections keep the relays that they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import DriverError
from controller.model.states import ConnectionState
from controller.operations.context import InfeasibleRequest
from tests.support.controller_bench import Bench, request_for
from tests.support.fake_switches import FakeKeyRates
from tests.unit.controller.policy.test_keysupply import POOL, backhaul, reserved
from topologies.catalog import metro_ring


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(metro_ring(), tmp_path / "db")
    made.slices.create(request_for("enterprise-app", cells=["cell1"]))
    made.key_rates.stored[POOL] = 32
    return made


def test_a_silent_kms_or_one_that_starts_is_no_loss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = backhaul(bench)

    def silent(rates: FakeKeyRates) -> Any:
        raise DriverError("nobody there")

    with monkeypatch.context() as patched:
        patched.setattr(FakeKeyRates, "sections", silent)
        bench.maintenance.poll_keys()
    assert backhaul(bench) == before
    bench.key_rates.starting = frozenset(bench.key_rates.section_ids)
    bench.maintenance.poll_keys()
    assert backhaul(bench) == before
    bench.key_rates.starting = frozenset()
    bench.maintenance.poll_keys()
    assert backhaul(bench) == before


def silence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(rates: FakeKeyRates) -> Any:
        raise DriverError("nobody there")

    monkeypatch.setattr(type(bench.key_rates), "sections", silent)
    bench.maintenance.poll_keys()


def test_a_cut_while_the_kms_is_silent_is_healed_with_the_relay_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"protection": "restoration"}}, cells=["cell1"]))
    before, rates = backhaul(bench), reserved(bench)
    with monkeypatch.context() as patched:
        silence(bench, patched)
        bench.cut(before.lanes[0].route.channels[0])
        moved = backhaul(bench)
        assert moved.state is ConnectionState.ACTIVE
        assert moved.lanes[0].route.channels != before.lanes[0].route.channels
        assert moved.lanes[0].route.key_links == before.lanes[0].route.key_links
        assert reserved(bench) == rates
        with pytest.raises(InfeasibleRequest, match="key rates are unknown"):
            bench.slices.create(request_for("enterprise-app", name="second", cells=["cell1"]))
    bench.maintenance.poll_keys()
    assert backhaul(bench) == moved
    assert reserved(bench) == rates


def test_one_that_lost_its_way_while_the_kms_is_silent_comes_back_with_the_relay_it_had(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rates = backhaul(bench), reserved(bench)
    around = [c.id for c in bench.topology.channels if "core1" in c.ends]
    with monkeypatch.context() as patched:
        silence(bench, patched)
        bench.maintenance.channels_changed(dict.fromkeys(around, False))
        assert backhaul(bench).state is ConnectionState.DEGRADED
        assert "no feasible path" in str(backhaul(bench).reason)
        assert "key" not in str(backhaul(bench).reason)
        bench.maintenance.channels_changed(dict.fromkeys(around, True))
        back = backhaul(bench)
        assert back.state is ConnectionState.ACTIVE
        assert back.lanes[0].route.key_links == before.lanes[0].route.key_links
    bench.key_rates.starting = frozenset(bench.key_rates.section_ids)
    bench.maintenance.poll_keys()
    bench.cut(back.lanes[0].route.channels[0])
    assert backhaul(bench).state is ConnectionState.ACTIVE
    bench.key_rates.starting = frozenset()
    bench.maintenance.poll_keys()
    assert reserved(bench) == rates


def test_a_backup_that_takes_over_keeps_the_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"protection": "1:1"}}, cells=["cell1"]))
    before, rates = backhaul(bench), reserved(bench)
    with monkeypatch.context() as patched:
        silence(bench, patched)
        bench.cut(before.lanes[0].route.channels[0])
    after = backhaul(bench)
    assert after.state is ConnectionState.ACTIVE
    assert after.lanes[0].route.channels == before.lanes[1].route.channels
    assert after.lanes[0].route.key_links == before.lanes[0].route.key_links
    assert len(after.lanes) == 2
    assert reserved(bench) == rates
