"""While nobody knows the key rates, connections keep the relays that they have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import DriverError, KeyRatesUnknown
from controller.model.events import SectionChanged, SectionState
from controller.model.reason import ReasonCode
from controller.model.states import ConnectionState, SliceState
from tests.support.controller_bench import Bench, request_for
from tests.support.fake_switches import FakeKeyRates
from tests.unit.controller.policy.test_keysupply import POOL, backhaul, reserved
from topologies.catalog import metro_ring


def ring(tmp_path: Path, **backhaul: Any) -> Bench:
    """A slice on it, of which so much is asked of the backhaul beside what the example does."""
    made = Bench(metro_ring(), tmp_path / "db")
    made.slices.create(request_for("enterprise-app", {"backhaul": backhaul}, cells=["cell1"]))
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = ring(tmp_path)
    made.key_rates.stored[POOL] = 32
    return made


def silence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(rates: FakeKeyRates) -> Any:
        raise DriverError("nobody there")

    monkeypatch.setattr(type(bench.key_rates), "sections", silent)
    bench.maintenance.poll_keys()


def test_a_silent_kms_or_one_that_starts_is_no_loss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = backhaul(bench)
    with monkeypatch.context() as patched:
        silence(bench, patched)
    assert backhaul(bench) == before
    bench.key_rates.starting = frozenset(bench.key_rates.section_ids)
    bench.maintenance.poll_keys()
    assert backhaul(bench) == before
    bench.key_rates.starting = frozenset()
    bench.maintenance.poll_keys()
    assert backhaul(bench) == before


def test_a_cut_while_the_kms_is_silent_is_healed_with_the_relay_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = ring(tmp_path, protection="restoration")
    before, rates = backhaul(bench), reserved(bench)
    with monkeypatch.context() as patched:
        silence(bench, patched)
        bench.cut(before.lanes[0].route.channels[0])
        moved = backhaul(bench)
        assert moved.state is ConnectionState.ACTIVE
        assert moved.lanes[0].route.channels != before.lanes[0].route.channels
        assert moved.lanes[0].route.key_links == before.lanes[0].route.key_links
        assert reserved(bench) == rates
        with pytest.raises(KeyRatesUnknown, match="key rates are unknown"):
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
    bench = ring(tmp_path, protection="1:1")
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


def starts_anew(bench: Bench) -> None:
    """The KMS has been restarted: it has judged nothing yet."""
    bench.key_rates.starting = frozenset(bench.key_rates.section_ids)
    bench.maintenance.poll_keys()


def test_a_restart_of_kms_or_controller_makes_rates_unknown_and_harms_no_slice(bench: Bench) -> None:
    before, rates = backhaul(bench), reserved(bench)
    starts_anew(bench)
    assert backhaul(bench) == before
    with pytest.raises(KeyRatesUnknown, match="has not judged"):
        bench.slices.create(request_for("enterprise-app", name="second", cells=["cell1"]))
    bench.key_rates.starting = frozenset()
    following = bench.next_process()
    following.maintenance.load()
    assert following.model.network.unknown_sections == set(following.key_rates.section_ids)
    assert backhaul(following).state is ConnectionState.ACTIVE
    assert reserved(following) == rates
    following.maintenance.recover()
    following.slices.create(request_for("enterprise-app", name="second", cells=["cell1"]))


def test_followers_hear_that_a_rate_is_unknown_and_not_that_keys_have_ended(bench: Bench) -> None:
    follower = bench.events.follow(0)
    while follower.next(0) is not None:
        pass
    starts_anew(bench)
    heard = []
    while (event := follower.next(0)) is not None:
        heard.append(event.what)
    assert {e.state for e in heard if isinstance(e, SectionChanged)} == {SectionState.UNKNOWN}
    assert not any("no keys" in str(event) for event in heard)


@pytest.mark.parametrize("is_silent", [False, True])
def test_nobody_falls_back_while_a_section_that_may_help_is_not_judged(
    tmp_path: Path, is_silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = ring(tmp_path, protection="restoration", fallback=["qra"])
    bench.key_rates.stored[POOL] = 32
    (used,) = dict(backhaul(bench).lanes[0].route.key_sections)
    bench.key_rates.unusable = frozenset({used})
    bench.key_rates.starting = frozenset(bench.key_rates.section_ids) - {used}
    bench.maintenance.poll_keys()
    waiting = backhaul(bench)
    assert waiting.fallback is None
    assert waiting.key_source == "qkd"
    assert waiting.state is ConnectionState.DEGRADED
    assert waiting.reason is not None
    assert waiting.reason.code is ReasonCode.KEYS_UNKNOWN
    assert set(waiting.reason.about) <= bench.key_rates.starting
    assert "bit/s" not in str(waiting.reason)
    if is_silent:
        with monkeypatch.context() as patched:
            silence(bench, patched)
        assert backhaul(bench).fallback is None
    bench.key_rates.starting = frozenset()
    bench.maintenance.poll_keys()
    bench.maintenance.poll_keys()
    back = backhaul(bench)
    assert (back.state, back.fallback) == (ConnectionState.ACTIVE, None)
    assert used not in dict(back.lanes[0].route.key_sections)


def test_sections_that_turn_out_bad_are_fallen_back_from(tmp_path: Path) -> None:
    bench = ring(tmp_path, protection="restoration", fallback=["qra"])
    (used,) = dict(backhaul(bench).lanes[0].route.key_sections)
    bench.key_rates.unusable = frozenset({used})
    bench.key_rates.starting = frozenset(bench.key_rates.section_ids) - {used}
    bench.maintenance.poll_keys()
    bench.key_rates.unusable, bench.key_rates.starting = frozenset(bench.key_rates.section_ids), frozenset()
    bench.maintenance.poll_keys()
    assert backhaul(bench).key_source == "qra"


def test_one_that_waits_for_a_way_is_told_that_rates_are_not_known_and_then_what_they_are(bench: Bench) -> None:
    bench.key_rates.unusable = frozenset(bench.key_rates.section_ids)
    bench.maintenance.poll_keys()
    around = [c.id for c in bench.topology.channels if "core1" in c.ends]
    bench.maintenance.channels_changed(dict.fromkeys(around, False))
    bench.key_rates.starting, bench.key_rates.unusable = bench.key_rates.unusable, frozenset()
    bench.maintenance.poll_keys()
    bench.maintenance.channels_changed(dict.fromkeys(around, True))
    waiting = backhaul(bench)
    assert waiting.reason is not None
    assert waiting.reason.code is ReasonCode.KEYS_UNKNOWN
    bench.key_rates.starting, bench.key_rates.unusable = frozenset(), bench.key_rates.starting
    bench.maintenance.poll_keys()
    known = backhaul(bench)
    assert known.reason is not None
    assert known.reason.code is ReasonCode.NO_PATH
    bench.key_rates.unusable = frozenset()
    bench.maintenance.poll_keys()
    assert backhaul(bench).state is ConnectionState.ACTIVE


def test_a_slice_whose_start_comes_before_rates_are_known_waits_for_them(bench: Bench) -> None:
    start = bench.now + 5
    asked = request_for("enterprise-app", name="later", cells=["cell1"])
    bench.slices.create(replace(asked, start=start))
    bench.now += 6
    starts_anew(bench)
    bench.run_schedule()
    assert bench.model.slice("later").state is SliceState.SCHEDULED
    bench.key_rates.starting = frozenset()
    bench.run_schedule()
    assert bench.model.slice("later").state is SliceState.ACTIVE
