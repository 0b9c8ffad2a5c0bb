"""The oracle and the tap where cards seal: channels are worth what seals them, and lines carry no marker at all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scripts.experiments.chaos.oracle import Observation, judge
from scripts.experiments.levels import is_sealed, too_weak
from scripts.measure.capture.plaintext_monitor import PlaintextMonitor
from scripts.testbed.faults import Fault, FaultKind
from tests.unit.scripts.experiments.test_chaos import (
    CLEAR,
    DETOUR,
    SECRET,
    TOPOLOGY,
    WORKING,
    degrade,
    esp,
    frame,
    observation,
    view_of,
)
from topologies.spec import EncryptionMode, SecurityClass

CHANNEL = EncryptionMode.CHANNEL
SEALED = frozenset(c.id for c in TOPOLOGY.channels if is_sealed(TOPOLOGY, c.id, CHANNEL))
LIT = frozenset(c.id for c in TOPOLOGY.channels if c.id in SEALED and not c.dark)


def seen_by_cards(path: tuple[str, ...] = WORKING, **more: Any) -> dict[str, Any]:
    seen = {**copy.deepcopy(observation(path)), "encryption": CHANNEL, "carriers": LIT} | more
    view_of(seen).update(level="qkd", is_on_fallback=False, fallback=[])
    seen["channels"] = [
        {**c, "state": "dark" if TOPOLOGY.channel(c["id"]).dark else "up"} for c in seen["channels"]
    ]  # fmt: skip
    seen["keys"] = {}  # what sections give is the cards' matter: no connection needs any
    return seen


def test_there_is_something_to_seal_and_something_clear() -> None:
    assert set(WORKING) <= SEALED
    assert {c.id for c in TOPOLOGY.channels} > SEALED
    assert {TOPOLOGY.channel(c).security for c in SEALED} == {SecurityClass.DH, SecurityClass.QRA, SecurityClass.QKD}


def test_a_good_network_is_good_without_keys_of_connections() -> None:
    assert judge(TOPOLOGY, Observation(**seen_by_cards())) == []
    assert judge(TOPOLOGY, Observation(**seen_by_cards(encryption=EncryptionMode.BOTH, keys={"a": 1.0}))) == []


def lower_security(seen: dict[str, Any]) -> None:
    view_of(seen)["path"] = ["cell1-agg1-none", "agg1-metro1-qkd"]
    move = {"cell1-agg1-qkd": 0.0, "cell1-agg1-none": 4.0}
    seen["channels"] = [{**c, "reserved_mbps": move.get(c["id"], c["reserved_mbps"])} for c in seen["channels"]]


def lower_and_say_so(seen: dict[str, Any]) -> None:
    lower_security(seen)
    view_of(seen)["level"] = "none"


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "security lowered": (lower_security, "its weakest channel is none"),
    "security lowered and admitted": (lower_and_say_so, "asked for qkd and is on cell1-agg1-none (none)"),
    "a level that nothing gives": (lambda s: view_of(s).update(level="qra"), "its weakest channel is qkd"),
    "active on a wavelength without a key": (
        lambda s: s.update(carriers=LIT - {WORKING[0]}), f"ACTIVE on {WORKING[0]}"),
    "no key although nothing is broken": (
        lambda s: s.update(carriers=LIT - {"metro1-core1-qkd"}), "metro1-core1-qkd has no carrier"),
    "a fallback without need": (
        lambda s: view_of(s).update(is_on_fallback=True, fallback=["qra"]), "there is a way for it at qkd"),
    "degraded without cause": (degrade, "but there is a way for it"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_is_caught(name: str) -> None:
    mutate, says = MUTATIONS[name]
    seen = seen_by_cards()
    mutate(seen)
    assert any(says in what for what in judge(TOPOLOGY, Observation(**seen))), judge(TOPOLOGY, Observation(**seen))


def test_no_wavelength_with_a_key_is_a_reason_to_be_degraded() -> None:
    seen = seen_by_cards(carriers=frozenset(), faults=(Fault(FaultKind.EAVESDROP, TOPOLOGY.sections[0].id),))
    degrade(seen)
    assert judge(TOPOLOGY, Observation(**seen)) == []


def test_a_way_round_a_wavelength_without_a_key_is_good() -> None:
    """While something is broken: then a wavelength may lack its key for a reason."""
    tapped = (Fault(FaultKind.EAVESDROP, TOPOLOGY.sections[0].id),)
    assert judge(TOPOLOGY, Observation(**seen_by_cards(DETOUR, carriers=LIT - {WORKING[0]}, faults=tapped))) == []


def test_a_class_without_a_card_is_worth_nothing_where_cards_alone_seal() -> None:
    plain = replace(TOPOLOGY, wavelengths=tuple(replace(w, encryptor=False) for w in TOPOLOGY.wavelengths))
    view = view_of(seen_by_cards())
    assert "weakest channel is none" in str(too_weak(plain, "c", view, CHANNEL))
    assert too_weak(plain, "c", view, EncryptionMode.BOTH) is None
    assert too_weak(plain, "c", view) is None


def test_the_tap_on_a_sealed_line_sees_no_marker_of_anybody() -> None:
    for marker in (SECRET, CLEAR):
        monitor = PlaintextMonitor(SECRET, CLEAR, sealed={"line"})
        monitor.inspect("line", esp(1, b"ciphertext"))
        assert monitor.violations == []
        monitor.inspect("line", frame(b"load" + marker, port=5700))
        (what,) = monitor.violations
        assert "sealed" in what
        assert "line" in what
        assert monitor.clear_frames == 0


def test_the_tap_counts_what_cards_have_sealed() -> None:
    monitor = PlaintextMonitor(SECRET, CLEAR, sealed={"line"})
    monitor.inspect("line", frame(b"\x00\x00\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01sealed", port=4500))
    assert monitor.line_packets == 1
