"""QKD sections that stop or give less: slower keys, another relay, an explained DEGRADED, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.model.connection import Connection, owner_of
from controller.model.connectivity import Finding, Verdict
from controller.model.errors import DriverError
from controller.model.events import ConnectionChanged, LinkChanged, LinkState
from controller.model.key_rates import RATE_TOLERANCE, KeyPool
from controller.model.states import ConnectionState, SliceState
from controller.policy import reroute_audit
from controller.policy.fault_localization import Advice, Doubts
from controller.policy.key_supply import BRIDGE_S
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring
from topologies.spec import SecurityClass

BACKHAUL = "enterprise-app/compute-core"
NEEDED_MILLIBPS = round(256_000 / 3)
POOL = KeyPool("core1", "metro1", "qkd")
AROUND_CORE1 = frozenset({"q-metro1-core1", "q-metro2-core1", "q-core1-core2"})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(metro_ring(), tmp_path / "db")
    made.slices.create(request_for("enterprise-app", cells=["cell1"]))
    made.key_rates.stored[POOL] = 32
    return made


def backhaul(bench: Bench) -> Connection:
    return bench.model.connections[BACKHAUL]


def reserved(bench: Bench) -> dict[str, int]:
    network = bench.model.network
    return {s.id: r for s in bench.topology.sections if (r := network.reserved_key_millibps(s.id))}


def told(bench: Bench) -> dict[str, Any]:
    return {site: end.rekey_s for (site, i), end in bench.tunnels.told.items() if i == BACKHAUL}


def kinds(bench: Bench, since: int) -> list[str]:
    """The events about the backhaul since then, by kind, and by state where it is a connection's."""
    follower = bench.events.follow(since)
    found = []
    while (event := follower.next(0)) is not None:
        if getattr(event.what, "connection", None) == BACKHAUL:
            what = event.what
            found.append(what.state.value if isinstance(what, ConnectionChanged) else what.kind)
    bench.events.unfollow(follower)
    return found


def last_event(bench: Bench) -> int:
    bench.events.publish(LinkChanged("mark", LinkState.UP))
    follower = bench.events.follow(0)
    last = 0
    while (event := follower.next(0)) is not None:
        last = event.sequence
    bench.events.unfollow(follower)
    return last


def stop(bench: Bench, *sections: str) -> None:
    bench.key_rates.unusable = frozenset(sections)
    bench.maintenance.poll_keys()


def test_a_stopped_section_slows_renewal_moves_the_relay_and_pace_returns(bench: Bench) -> None:
    before = backhaul(bench)
    assert before.lanes[0].route.key_sections == (("q-metro1-core1", 1),)
    mark = last_event(bench)
    stop(bench, "q-metro1-core1")
    moved = backhaul(bench)
    assert moved.state is ConnectionState.ACTIVE
    assert moved.lanes[0].route.channels == before.lanes[0].route.channels
    assert "q-metro1-core1" not in dict(moved.lanes[0].route.key_sections)
    assert reserved(bench) == dict.fromkeys(dict(moved.lanes[0].route.key_sections), NEEDED_MILLIBPS)
    assert told(bench) == {"metro1": 24.0, "core1": 24.0}  # 32 keys for ten minutes, in doublings of 3 s
    bench.maintenance.poll_keys()
    assert told(bench) == {"metro1": 3.0, "core1": 3.0}
    assert kinds(bench, mark) == ["rekey_slowed", "key_reroute", "rekey_restored"]
    reroute = backhaul(bench).reroutes[-1]
    assert reroute.old_key_links == before.lanes[0].route.key_links
    assert reroute.new_key_links == moved.lanes[0].route.key_links
    assert reroute.key_source == "qkd"
    assert reroute_audit.check(bench.topology, reroute_audit.Asked.of(moved.request), reroute) == ()


def test_a_relay_is_not_believed_while_the_pool_is_empty(bench: Bench) -> None:
    bench.key_rates.stored[POOL] = 0
    stop(bench, "q-metro1-core1")
    bench.maintenance.poll_keys()
    assert told(bench) == {"metro1": 30.0, "core1": 30.0}  # half of a key's lifetime: the slowest there is
    bench.key_rates.stored[POOL] = 5
    bench.maintenance.poll_keys()
    assert told(bench) == {"metro1": 3.0, "core1": 3.0}


def test_without_another_relay_it_is_degraded_keeps_its_way_and_comes_back(bench: Bench) -> None:
    before, rates = backhaul(bench), reserved(bench)
    held = bench.switches.held()
    stop(bench, *AROUND_CORE1)
    lost = backhaul(bench)
    assert lost.state is ConnectionState.DEGRADED
    assert bench.model.slice("enterprise-app").state is SliceState.DEGRADED
    assert "q-metro1-core1" in str(lost.reason)
    assert "0.0 of the 85.3 bit/s needed" in str(lost.reason)
    assert lost.key_source == "qkd"
    assert reserved(bench) == {}
    assert bench.switches.held() == held
    bench.key_rates.stored[POOL] = 16
    bench.maintenance.poll_keys()
    assert told(bench) == {"metro1": 30.0, "core1": 30.0}
    bench.maintenance.retry()
    assert backhaul(bench).state is ConnectionState.DEGRADED
    mark = last_event(bench)
    stop(bench)
    bench.maintenance.poll_keys()
    assert backhaul(bench).state is ConnectionState.ACTIVE
    assert bench.model.slice("enterprise-app").state is SliceState.ACTIVE
    assert backhaul(bench).lanes[0].route == before.lanes[0].route
    assert reserved(bench) == rates
    assert told(bench) == {"metro1": 3.0, "core1": 3.0}
    assert set(kinds(bench, mark)) == {"ACTIVE", "key_reroute", "rekey_restored"}


def test_the_slower_rate_that_is_left_is_reserved_within_the_policy(bench: Bench) -> None:
    bench.key_rates.rates = dict.fromkeys(AROUND_CORE1, 20_000)
    bench.maintenance.poll_keys()
    slowed = backhaul(bench)
    assert slowed.state is ConnectionState.ACTIVE
    rate = bench.model.network.reserved_rate_millibps(owner_of(slowed, slowed.lanes[0]))
    assert 19_000 < rate <= 20_000
    assert slowed.rekey_s == pytest.approx(256_000 / rate)
    assert "q-metro1-core1" in str(slowed.slow_rekey and slowed.slow_rekey.reason)
    bench.maintenance.poll_keys()
    assert backhaul(bench) == slowed
    bench.cut(slowed.lanes[0].route.channels[0])  # a way is found at that pace too
    assert backhaul(bench).state is ConnectionState.ACTIVE
    bench.key_rates.rates = dict.fromkeys(AROUND_CORE1, 8_000)  # less than a key in half of its lifetime
    bench.maintenance.poll_keys()
    assert backhaul(bench).state is ConnectionState.DEGRADED
    bench.key_rates.rates = {}
    bench.maintenance.poll_keys()
    bench.maintenance.poll_keys()
    assert (backhaul(bench).state, backhaul(bench).rekey_s) == (ConnectionState.ACTIVE, 3.0)


def test_who_is_less_urgent_gives_way_and_a_fluctuation_moves_nobody(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"priority": 5}}, name="first", cells=["cell1"]))
    sections = dict(backhaul(bench).lanes[0].route.key_sections)
    assert sections == dict(bench.model.connections["first/compute-core"].lanes[0].route.key_sections)
    bench.key_rates.rates = dict.fromkeys(AROUND_CORE1, 0) | {
        "q-metro1-core1": round(2 * NEEDED_MILLIBPS / RATE_TOLERANCE) + 1
    }
    bench.maintenance.poll_keys()
    assert backhaul(bench).slow_rekey is None
    bench.key_rates.rates["q-metro1-core1"] = round(1.5 * NEEDED_MILLIBPS)
    bench.maintenance.poll_keys()
    assert bench.model.connections["first/compute-core"].rekey_s == 3.0
    assert 5.9 < backhaul(bench).rekey_s < 6.5
    assert reserved(bench)["q-metro1-core1"] <= 1.5 * NEEDED_MILLIBPS


@pytest.mark.parametrize("protection", ["restoration", "1:1", "1+1"])
def test_its_way_fails_too_while_it_has_no_keys(tmp_path: Path, protection: str) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"protection": protection}}, cells=["cell1"]))
    stop(bench, *AROUND_CORE1)
    cut = backhaul(bench).lanes[0].route.channels[0]
    bench.cut(cut)
    bench.maintenance.poll_keys()
    assert backhaul(bench).state is ConnectionState.DEGRADED
    assert backhaul(bench).reason
    stop(bench)
    bench.maintenance.poll_keys()
    back = backhaul(bench)
    assert back.state is ConnectionState.ACTIVE
    assert back.lanes[0].route.channels != ()
    assert cut not in back.lanes[0].route.channels
    assert not back.is_keyless
    bench.slices.delete("enterprise-app")
    assert reserved(bench) == {}
    assert all(bench.model.network.reserved_kbps(c.id) == 0 for c in bench.topology.channels)
    assert not any(bench.model.labels.taken(c.id, end) for c in bench.topology.channels for end in c.ends)


def test_an_agent_that_was_silent_is_told_the_pace_later(bench: Bench) -> None:
    bench.tunnels.fail = lambda op, site, connection_id: DriverError("silent") if op == "modify" else None
    stop(bench, *AROUND_CORE1)
    assert set(told(bench).values()) == {3.0}
    bench.tunnels.fail = lambda op, site, connection_id: None
    bench.maintenance.restore_tunnels()
    assert set(told(bench).values()) == {24.0}


def test_the_next_process_finds_one_without_keys_as_it_was(bench: Bench) -> None:
    stop(bench, *AROUND_CORE1)
    following = bench.next_process()
    following.key_rates.unusable = AROUND_CORE1
    following.maintenance.load()
    following.maintenance.poll_keys()
    assert backhaul(following).state is ConnectionState.DEGRADED
    assert reserved(following) == {}
    stop(following)
    assert backhaul(following).state is ConnectionState.ACTIVE


def test_keys_in_store_last_as_long_as_they_shall(bench: Bench) -> None:
    for stored in range(1, 33):
        bench.key_rates.stored[POOL] = stored
        stop(bench, *AROUND_CORE1)
        pace = backhaul(bench).rekey_s
        assert pace == 30.0 or pace * stored >= BRIDGE_S
        assert 3.0 <= pace <= 30.0


@pytest.mark.parametrize("verdict", list(Verdict))
def test_probes_neither_end_nor_overrule_the_want_of_keys(bench: Bench, verdict: Verdict) -> None:
    stop(bench, *AROUND_CORE1)
    advice = Doubts().advise(bench.model, {BACKHAUL: Finding(verdict, 0.0)}, 100.0)
    assert advice == Advice()


def test_what_has_keys_again_and_is_known_to_carry_nothing_waits_for_its_probes(bench: Bench) -> None:
    stop(bench, *AROUND_CORE1)
    bench.model.observe_findings({BACKHAUL: Finding(Verdict.FAILS, 0.0)})
    stop(bench)
    assert not backhaul(bench).is_keyless
    assert backhaul(bench).state is ConnectionState.DEGRADED
    assert "probes" in str(backhaul(bench).reason)


# --- fallbacks -------------------------------------------------------------------------------------------------------


def falling_back(tmp_path: Path, *levels: str) -> Bench:
    made = Bench(metro_ring(), tmp_path / "fallback-db")
    made.slices.create(
        request_for("enterprise-app", {"backhaul": {"fallback": list(levels)}}, cells=["cell1"]),
    )
    made.key_rates.stored[POOL] = 32
    return made


def sources(bench: Bench) -> set[Any]:
    return {end.key_source for (_, i), end in bench.tunnels.told.items() if i == BACKHAUL}


def test_a_listed_fallback_is_used_for_want_of_keys_and_undone_when_they_are_back(tmp_path: Path) -> None:
    bench = falling_back(tmp_path, "qra", "dh")
    before = backhaul(bench)
    mark = last_event(bench)
    stop(bench, *AROUND_CORE1)
    lowered = backhaul(bench)
    assert lowered.state is ConnectionState.ACTIVE
    assert lowered.fallback is SecurityClass.QRA
    assert sources(bench) == {"qra"}
    assert set(told(bench).values()) == {3.0}  # of these keys there are plenty
    assert "uses the fallback qra: no QKD keys: section q-metro1-core1 gives 0.0" in str(lowered.explanation)
    assert reserved(bench) == {}
    reroute = lowered.reroutes[-1]
    assert (reroute.level, reroute.cause, reroute.new_key_links) == ("qra", "fallback", ())
    assert reroute_audit.check(bench.topology, reroute_audit.Asked.of(lowered.request), reroute) == ()
    bench.maintenance.poll_keys()
    assert backhaul(bench) == lowered
    stop(bench)
    again = backhaul(bench)
    assert again.state is ConnectionState.ACTIVE
    assert again.fallback is None
    assert again.explanation is None
    assert sources(bench) == {"qkd"}
    assert set(told(bench).values()) == {3.0}
    assert again.route == before.route
    assert reserved(bench) == {"q-metro1-core1": NEEDED_MILLIBPS}
    assert again.reroutes[-1].cause == "fallback-undone"
    assert kinds(bench, mark) == [
        "REROUTING", "reroute", "fallback_used", "ACTIVE", "REROUTING", "reroute", "fallback_undone", "ACTIVE",
    ]  # fmt: skip
    bench.repair_all()


def test_slower_keys_and_another_relay_come_before_a_fallback(tmp_path: Path) -> None:
    bench = falling_back(tmp_path, "qra")
    stop(bench, "q-metro1-core1")
    assert backhaul(bench).fallback is None
    assert backhaul(bench).state is ConnectionState.ACTIVE
    for section in AROUND_CORE1:
        bench.key_rates.rates[section] = NEEDED_MILLIBPS // 2
    stop(bench)
    assert backhaul(bench).fallback is None
    assert backhaul(bench).slow_rekey is not None
    assert sources(bench) == {"qkd"}


def test_without_a_way_at_the_fallback_either_it_is_degraded_until_there_is_one(tmp_path: Path) -> None:
    bench = falling_back(tmp_path, "qra")
    around = [c.id for c in bench.topology.channels if "core1" in c.ends and not c.dark]
    for channel in around:
        bench.model.observe_channels({channel: False}, silent=())
    stop(bench, *AROUND_CORE1)
    assert backhaul(bench).state is ConnectionState.DEGRADED
    assert backhaul(bench).fallback is None
    bench.maintenance.channels_changed(dict.fromkeys(around, True))
    assert backhaul(bench).fallback is SecurityClass.QRA
    assert backhaul(bench).state is ConnectionState.ACTIVE
