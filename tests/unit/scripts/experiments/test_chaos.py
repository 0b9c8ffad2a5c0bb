"""Chaos: the same seed draws the same faults, and the oracle can fail: every mutation of a good network is caught."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.experiments.chaos.oracle import Observation, connection_number, judge, number_of_cookie
from scripts.experiments.chaos.run import ChaosResult, Pace, keep
from scripts.experiments.chaos.steps import ChaosStep, Move, Trouble, chaos_steps
from scripts.measure.capture.plaintext_monitor import PlaintextMonitor
from scripts.measure.capture.plaintext_search import new_marker
from scripts.testbed.faults import FAULTS, Fault, FaultKind, Faults, effects, with_fault, without
from tests.support.origin import ORIGIN
from topologies.catalog import load
from topologies.links import Direction

TOPOLOGY = load("metro-ring")
WORKING = ("cell1-agg1-qkd", "agg1-metro1-qkd")
SPLIT = tuple(
    Fault(FaultKind.CUT, c.id)
    for c in TOPOLOGY.channels
    if not c.dark and c.a.startswith("agg") and c.b.startswith("metro")
)
DETOUR = ("cell1-agg2-qkd", "agg1-agg2-qkd", "agg1-metro1-qkd")


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_repeats_its_faults_and_everything_is_lifted_at_the_end(seed: int) -> None:
    steps = chaos_steps(TOPOLOGY, 60, seed, favoured=WORKING)
    assert steps == chaos_steps(TOPOLOGY, 60, seed, favoured=set(WORKING))
    assert steps != chaos_steps(TOPOLOGY, 60, seed + 100, favoured=WORKING)
    assert sum(s.is_trouble for s in steps) == 60
    assert steps[-1].move is Move.MEND
    active: Faults = ()
    overlapped = 0
    for step in steps:
        if step.move is Move.MEND:
            active = ()
        elif step.move is Move.CHECK:
            assert not any(f.kind is FaultKind.KILL for f in active)
        elif step.move is Move.INJECT:
            for fault in step.faults:
                active, _ = with_fault(active, fault)
            overlapped = max(overlapped, len({f.target for f in active}))
        else:
            for fault in step.faults:
                active, lifted = without(active, FAULTS[fault.kind].inverse, fault.target, fault.direction)
                assert lifted or step.move is Move.FLAP
    assert overlapped >= 3


def test_two_hundred_draw_every_kind_and_every_direction() -> None:
    steps = [s for s in chaos_steps(TOPOLOGY, 200, 1) if s.is_trouble]
    assert {s.trouble for s in steps} == set(Trouble)
    directed = {(f.kind, f.direction) for s in steps for f in s.faults}
    for kind in (FaultKind.CUT, FaultKind.BLACKHOLE):
        assert {direction for k, direction in directed if k is kind} == {None, *Direction}
    killed = {f.target for s in steps for f in s.faults if f.kind is FaultKind.KILL}
    assert {"kms", "controller"} < killed
    for step in steps:
        if step.trouble is Trouble.RISK:
            (fault,) = step.faults
            together = effects(TOPOLOGY, (fault,))
            assert len(together.dead | together.unlit) > 2  # more than the two ends of one channel


def test_shelves_of_cards_are_killed_where_there_are_some_and_nothing_else_is_drawn_otherwise() -> None:
    def killed(*shelves: str) -> set[str]:
        steps = chaos_steps(TOPOLOGY, 200, 1, [Trouble.KILL], shelves=shelves)
        return {f.target for s in steps if s.is_trouble for f in s.faults}

    assert {"shelf-cell1", "shelf-core1"} < killed("cell1", "core1")
    assert not any(name.startswith("shelf-") for name in killed())


@pytest.mark.parametrize("trouble", Trouble)
def test_only_the_kinds_asked_for_are_drawn(trouble: Trouble) -> None:
    steps = chaos_steps(TOPOLOGY, 40, 1, [trouble])
    assert {s.trouble for s in steps if s.trouble} == {trouble}


def test_remaining_time_follows_what_was_measured() -> None:
    steps = (ChaosStep(Move.INJECT, dwell_s=1.0), ChaosStep(Move.CHECK))
    pace = Pace()
    for _ in range(1000):
        pace.took(steps[0], 0.5)
        pace.took(steps[1], 2.0)
    assert pace.expected_s(steps) == pytest.approx(3.5, rel=0.01)
    assert pace.expected_s(()) == 0


def test_what_there_is_is_kept_whole(tmp_path: Path) -> None:
    result = ChaosResult(seed=4, faults=2, provenance=ORIGIN)
    keep(result, tmp_path)
    result.counts["kill"] += 1
    keep(result, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["counts"] == {"kill": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def cookie(number: int, generation: int = 1) -> int:
    return 0x5153 << 48 | (number + 1) << 24 | generation


def observation(path: tuple[str, ...] = WORKING, faults: Faults = ()) -> dict[str, Any]:
    sites = ["cell1", *(["agg2", "agg1"] if path == DETOUR else ["agg1"]), "metro1"]
    view = {
        "name": "cell1-compute", "role": "access", "src": "cell1", "dst": "metro1", "src_address": "10.200.0.6",
        "required": "qkd",
        "key_source": "qkd", "match": "at-least", "protection": "restoration", "state": "ACTIVE", "reason": None,
        "bandwidth_mbps": 4.0, "path": list(path), "sites": sites, "backup": None,
    }  # fmt: skip
    asked = {"security": "qkd", "bandwidth_mbps": 4, "latency_ms": 30}
    record = {"name": "s", "state": "ACTIVE", "request": {"connections": {"access": asked}}, "connections": [view]}
    return {
        "slices": [record],
        "channels": [
            {"id": c.id, "capacity_mbps": c.capacity_mbps, "reserved_mbps": 4.0 if c.id in path else 0.0}
            for c in TOPOLOGY.channels
        ],
        "sections": [{"id": s.id, "reserved_bps": 0.0} for s in TOPOLOGY.sections],
        "keys": {s.id: 5000.0 for s in TOPOLOGY.sections},
        "answering": {"s/cell1-compute"},
        "cookies": {site: {0, 0x5153 << 48, cookie(3)} if site in sites else {0} for site in TOPOLOGY.site_names},
        "faults": faults, "held": {"agg1": {"rule a", "group b"}}, "intended": {"agg1": {"rule a", "group b"}},
    }  # fmt: skip


def test_a_good_network_is_good() -> None:
    assert judge(TOPOLOGY, Observation(**observation())) == []
    cut = (Fault(FaultKind.CUT, WORKING[0]),)
    assert judge(TOPOLOGY, Observation(**observation(DETOUR, cut))) == []


def view_of(seen: dict[str, Any]) -> dict[str, Any]:
    view: dict[str, Any] = seen["slices"][0]["connections"][0]
    return view


def degrade(seen: dict[str, Any], reason: str = "no path") -> None:
    seen["slices"][0]["state"] = "DEGRADED"
    view_of(seen).update(state="DEGRADED", reason=reason, path=[], sites=[])
    seen["channels"] = [{**c, "reserved_mbps": 0.0} for c in seen["channels"]]
    seen["cookies"] = {site: {0} for site in TOPOLOGY.site_names}


def lower_security(seen: dict[str, Any]) -> None:
    view_of(seen)["path"] = ["cell1-agg1-none", "agg1-metro1-qkd"]
    move = {"cell1-agg1-qkd": 0.0, "cell1-agg1-none": 4.0}
    seen["channels"] = [{**c, "reserved_mbps": move.get(c["id"], c["reserved_mbps"])} for c in seen["channels"]]


def without_keys_beside_a_fallback(seen: dict[str, Any]) -> None:
    degrade(seen)
    view_of(seen)["fallback"] = ["dh"]
    seen["keys"] = {}


def split_beside_dark_channels(seen: dict[str, Any]) -> None:
    degrade(seen)
    seen["faults"] = SPLIT


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "security lowered": (lower_security, "asked for qkd and is on cell1-agg1-none"),
    "active on a dead path": (
        lambda s: s.update(faults=(Fault(FaultKind.CUT, WORKING[0]),)), "ACTIVE on cell1-agg1-qkd"),
    "active on a silent path": (
        lambda s: s.update(faults=(Fault(FaultKind.BLACKHOLE, WORKING[1]),)), "ACTIVE on agg1-metro1-qkd"),
    "active and silent": (lambda s: s.update(answering=set()), "answers no probe"),
    "degraded without cause": (degrade, "but there is a way for it"),
    "degraded without a reason": (lambda s: degrade(s, ""), "without a reason"),
    "never finished": (lambda s: view_of(s).update(state="REROUTING"), "still REROUTING"),
    "slice and connections disagree": (lambda s: s["slices"][0].update(state="DEGRADED"), "slice s is DEGRADED"),
    "over-committed": (
        lambda s: s["channels"][0].update(reserved_mbps=s["channels"][0]["capacity_mbps"] + 1), "are reserved on"),
    "negative": (lambda s: s["channels"][0].update(reserved_mbps=-1.0), "-1.0 of"),
    "negative key rate": (lambda s: s["sections"][0].update(reserved_bps=-1.0), "bit/s of key reserved"),
    "reservation leaked": (lambda s: s["channels"][-1].update(reserved_mbps=4.0), "its connections need"),
    "rules missing": (lambda s: s["cookies"].update(agg1={0}), "has no rules at agg1"),
    "rules left behind": (lambda s: s["cookies"]["core1"].add(cookie(3)), "has rules at core1"),
    "nobody's rules": (lambda s: s["cookies"]["core1"].add(cookie(77)), "connection number 77"),
    "a level that is not listed": (
        lambda s: view_of(s).update(level="qra", fallback=["dh"]), "level qra, which it does not list"),
    "a fallback without need": (
        lambda s: view_of(s).update(level="qra", fallback=["qra"]), "there is a way for it at qkd"),
    "degraded beside a fallback": (
        without_keys_beside_a_fallback, "on its fallback dh"),
    "degraded beside a dark channel": (
        split_beside_dark_channels, "but there is a way for it"),
    "active in the dark": (
        lambda s: next(c for c in s["channels"] if c["id"] == WORKING[1]).update(state="dark"),
        "ACTIVE on agg1-metro1-qkd"),
    "a wrong rule": (lambda s: s["held"].update(agg1={"rule a to another port", "group b"}), "lacks rule a"),
    "an excess rule": (
        lambda s: s["held"]["agg1"].add("meter c"),
        "holds meter c, which the controller does not intend",
    ),
    "a switch without rules": (lambda s: s.update(held={}), "agg1 lacks group b"),
    "unprotected and never back": (
        lambda s: view_of(s).update(protection="none", state="DEGRADED", reason="dead"), "nothing is broken any more"),
    "a leak": (lambda s: s.update(leaks=["a to b"]), "share no connection: a to b"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_is_caught(name: str) -> None:
    mutate, says = MUTATIONS[name]
    seen = copy.deepcopy(observation())
    mutate(seen)
    assert any(says in what for what in judge(TOPOLOGY, Observation(**seen))), judge(TOPOLOGY, Observation(**seen))


@pytest.mark.parametrize(
    "why",
    [
        {"faults": (Fault(FaultKind.POWER_OFF, "cell1"),)},
        {"faults": tuple(Fault(FaultKind.EAVESDROP, s.id) for s in TOPOLOGY.sections)},
        {"keys": {}},
        {"faults": tuple(Fault(FaultKind.CUT, c.id) for c in TOPOLOGY.channels_of("metro1"))},
        {"faults": SPLIT + tuple(Fault(FaultKind.CUT, c.id) for c in TOPOLOGY.channels if c.dark)},
    ],
    ids=["site off", "all tapped", "no keys", "cut off", "split, spares cut too"],
)
def test_a_degraded_connection_with_a_true_reason_is_no_violation(why: dict[str, Any]) -> None:
    seen = observation()
    degrade(seen)
    assert judge(TOPOLOGY, replace(Observation(**seen), **why)) == []


def test_too_little_latency_or_bandwidth_is_a_reason() -> None:
    seen = observation()
    degrade(seen)
    seen["slices"][0]["request"]["connections"]["access"]["latency_ms"] = 0.01
    assert judge(TOPOLOGY, Observation(**seen)) == []


@pytest.mark.parametrize("counted", [{"switch_us": 20_000}, {"tunnel_us": 40_000}])
def test_what_the_controller_counts_for_switches_and_tunnel_is_a_reason(counted: dict[str, Any]) -> None:
    seen = observation()
    degrade(seen)
    assert judge(TOPOLOGY, Observation(**seen)) != []
    assert judge(TOPOLOGY, replace(Observation(**seen), **counted)) == []


def test_cookies_and_addresses_name_connections() -> None:
    assert number_of_cookie(cookie(3)) == 3 == connection_number("10.200.0.6")
    assert number_of_cookie(0x5153 << 48) is None
    assert number_of_cookie(0) is None


SECRET, CLEAR = new_marker(), new_marker()


def frame(payload: bytes, port: int = 20003) -> bytes:
    udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([172, 20, 0, 2]), bytes([172, 20, 0, 3])
    )
    return bytes(12) + struct.pack("!HHH", 0x8100, 7, 0x0800) + head + udp


def esp(sequence: int, body: bytes, spi: int = 0x1234) -> bytes:
    return frame(struct.pack("!IIQ", spi, sequence, sequence) + body)


def test_the_tap_is_silent_about_ciphertext_seen_on_several_channels() -> None:
    monitor = PlaintextMonitor(SECRET, CLEAR)
    for n in range(50):
        for channel in ("x", "y"):
            monitor.inspect(channel, esp(n, b"ciphertext %d" % n))
    monitor.inspect("z", frame(b"load" + CLEAR, port=5700))
    assert monitor.violations == []
    assert monitor.clear_frames == 1
    assert monitor.esp_packets >= 100


def test_the_tap_sees_plaintext() -> None:
    monitor = PlaintextMonitor(SECRET, CLEAR)
    monitor.inspect("x", frame(b"load" + SECRET, port=5700))
    assert "readable on x" in monitor.violations[0]


def test_the_tap_sees_a_counter_used_twice_under_one_key() -> None:
    monitor = PlaintextMonitor(SECRET, CLEAR)
    monitor.inspect("x", esp(7, b"one ciphertext"))
    monitor.inspect("x", esp(7, b"another text", spi=0x9999))
    assert monitor.violations == []
    monitor.inspect("x", esp(7, b"the second text"))
    assert "counter 7 for two packets" in monitor.violations[0]


def test_the_tap_does_not_take_the_switches_own_packets_for_esp() -> None:
    monitor = PlaintextMonitor(SECRET, CLEAR)
    for text in (b"one state of a session", b"another state of it"):
        monitor.inspect("x", frame(struct.pack("!IIQ", 0x21400518, 1, 1_000_000) + text, port=3784))
    assert monitor.violations == []
    assert monitor.esp_packets == 0
