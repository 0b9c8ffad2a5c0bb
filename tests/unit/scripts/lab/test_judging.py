"""Right and wrong solutions are told apart by what the API and the KMS show of them."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.errors import WrongRequest
from scripts.lab import eavesdropper, needs, protected, refused, reroute
from scripts.lab.course import EXERCISES, Result, answers_of, exercise
from scripts.lab.exercise import Finding
from topologies.catalog import load
from topologies.spec import SecurityClass

CLASSES = {"a-qra": SecurityClass.QRA, "a-qkd": SecurityClass.QKD, "a-dh": SecurityClass.DH}
NEED = needs.Need("cell1", "metro2", SecurityClass.QRA, 10, 10)


def connection(**changes: Any) -> dict[str, Any]:
    made = {
        "name": "data", "src": "metro2", "dst": "cell1", "required": "qra", "bandwidth_mbps": 10.0, "fallback": [],
        "path": ["a-qra"], "latency_ms": 0.2, "protection": "restoration", "backup": None, "reroutes": [],
    }  # fmt: skip
    return {**made, **changes}


def wrong(findings: list[Finding]) -> list[str]:
    return [finding.what.rpartition(": ")[2] for finding in findings if not finding.ok]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, []),
        ({"required": "qkd", "path": ["a-qkd"], "bandwidth_mbps": 20.0}, []),
        ({"required": "qkd+qra"}, []),
        ({"required": "dh"}, ["keys"]),
        ({"path": ["a-qra", "a-dh"]}, ["keys"]),
        ({"fallback": ["dh"]}, ["keys"]),
        ({"fallback": ["qra"]}, []),
        ({"bandwidth_mbps": 5.0}, ["bandwidth"]),
        ({"bandwidth_mbps": 21.0}, ["bandwidth"]),
        ({"latency_ms": 11.0}, ["latency"]),
        ({"path": [], "latency_ms": None}, ["keys", "latency"]),
        ({"src": "metro1"}, ["cell1 - metro2"]),
    ],
)
def test_needs(changes: dict[str, Any], complaint: list[str]) -> None:
    view = {"name": "lab1", "state": "ACTIVE", "connections": [connection(**changes)]}
    assert wrong(needs.judge_needs(view, CLASSES, [NEED])) == complaint


def test_a_slice_that_is_not_in_service_satisfies_nothing() -> None:
    view = {"name": "lab1", "state": "DEGRADED", "connections": [connection()]}
    assert wrong(needs.judge_needs(view, CLASSES, [NEED])) == ["lab1 is in service"]


MOVED = connection(
    path=["a-qkd", "a-qra"],
    reroutes=[
        {"old_path": ["a-dh"], "new_path": ["a-qkd", "a-qra"], "cause": "failure"},
        {"old_path": ["other"], "new_path": ["a-dh"], "cause": "keys"},
    ],
)
RIGHT = {"cut": "a-dh", "path": "a-qkd,a-qra", "class": "qra", "cause": "failure"}


@pytest.mark.parametrize(
    ("changes", "down", "complaint"),
    [
        ({}, ["a-dh"], []),
        ({}, [], ["the channel is cut"]),
        ({"path": "a-qra,a-qkd"}, ["a-dh"], ["the path in use now"]),
        ({"class": "qkd"}, ["a-dh"], ["the lowest class on it"]),
        ({"cause": "keys"}, ["a-dh"], ["the cause of the move"]),
        ({"cut": "x"}, ["a-dh", "x"], ["the cut moved the connection", "the cause of the move"]),
    ],
)
def test_an_explained_reroute(changes: dict[str, str], down: list[str], complaint: list[str]) -> None:
    assert wrong(reroute.judge_move({**RIGHT, **changes}, MOVED, CLASSES, down)) == complaint


SECTIONS: dict[str, dict[str, Any]] = {
    "s1": {"eavesdropped_fraction": 0.0, "qber": 0.015},
    "s2": {"eavesdropped_fraction": 0.25, "qber": 0.078},
    "s3": {"eavesdropped_fraction": 0.0, "qber": None},
}


@pytest.mark.parametrize(
    ("section", "share", "complaint"),
    [
        ("s2", 0.25, []),
        ("s2", 0.32, []),
        ("s2", 0.4, ["the share"]),
        ("s2", float("nan"), ["the share"]),
        ("s1", 0.25, ["the section", "the share"]),
        ("s3", 0.25, ["the section", "the share"]),
        ("s9", 0.25, ["the section"]),
    ],
)
def test_an_eavesdropper_found(section: str, share: float, complaint: list[str]) -> None:
    found = eavesdropper.judge_answer(section, share, SECTIONS)
    assert wrong(found) == complaint
    assert all("0.25" not in finding.detail for finding in found if not finding.ok), "a wrong answer gives nothing away"


def test_no_eavesdropper_is_to_be_found_before_the_exercise_has_begun() -> None:
    assert wrong(eavesdropper.judge_answer("s1", 0.2, {"s1": SECTIONS["s1"]})) == ["somebody listens"]


HOSPITAL = {
    "name": "images",
    "connections": [
        {"name": "x", "from": "cell2", "to": "core2", "security": "qkd", "bandwidth_mbps": 150, "latency_ms": 20,
         "protection": "1:1"}
    ],
}  # fmt: skip


def test_the_hospitals_request_is_recognised() -> None:
    assert refused.is_asked_for(refused.only_connection(HOSPITAL))
    for less in ({"bandwidth_mbps": 100}, {"security": "qra"}, {"protection": "none"}, {"to": "core1"}):
        assert not refused.is_asked_for({**HOSPITAL["connections"][0], **less})  # type: ignore[dict-item]
    assert refused.with_bandwidth(HOSPITAL, 150) == HOSPITAL != refused.with_bandwidth(HOSPITAL, 100)
    malformed: dict[str, Any]
    for malformed in ({}, {"connections": {}}, {"connections": []}, {"connections": ["x"]}, {"connections": [{}, {}]}):
        assert refused.only_connection(malformed) == {}


def test_a_backup_path_shares_no_fibre() -> None:
    ring = load("metro-ring")
    one, same_fibre, other = ["cell1-agg1-qra"], ["cell1-agg1-qkd"], ["cell1-agg2-qra"]

    def complaints(backup: list[str] | None, **changes: Any) -> list[str]:
        path = {"path": backup} if backup is not None else None
        made = connection(src="cell1", dst="core2", path=one, backup=path, protection="1:1", **changes)
        return wrong(protected.judge_plan({"state": "ACTIVE", "connections": [made]}, ring))

    assert complaints(other) == []
    assert complaints(same_fibre) == complaints(None) == ["a backup path stands ready on other fibres"]
    assert complaints(other, required="dh") == complaints(other, bandwidth_mbps=5.0) == ["its keys and bandwidth"]
    assert complaints(other, latency_ms=0.2) == []


def test_answers_are_told_by_name() -> None:
    asked = exercise(3)
    assert answers_of(asked, ["section=s2", "share=0.3"]) == {"section": "s2", "share": "0.3"}
    for words, said in (
        (["section"], "not of the form"),
        (["section="], "not of the form"),
        (["section=s2"], "also asks for share"),
        (["section=s2", "section=s1", "share=1"], "given twice"),
        (["where=s2"], "takes no 'where'"),
    ):
        with pytest.raises(WrongRequest, match=said):
            answers_of(asked, words)


def test_the_exercises_are_numbered_from_one_and_say_how_they_are_checked() -> None:
    assert list(EXERCISES) == [1, 2, 3, 4, 5]
    for number, each in EXERCISES.items():
        assert not each.answers or f"qslice lab check {number} " in each.task
        assert all(f"{name}=" in each.task for name in each.answers)
    with pytest.raises(WrongRequest, match="no exercise 6"):
        exercise(6)


def test_one_wrong_finding_or_none_at_all_is_not_solved() -> None:
    good = Finding("a", True, "")
    assert Result(1, (good,)).is_solved
    assert not Result(1, ()).is_solved
    assert not Result(1, (good, Finding("b", False, ""))).is_solved
