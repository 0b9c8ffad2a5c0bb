"""Scenarios whose timeline names extensions: what may stand there, and what is refused with its line."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts.cli.extensions import chosen_in_force
from scripts.errors import CommandError, EnvironmentLacks, WrongRequest
from scripts.experiments.scripted.parts import PartNames, Parts, require_impairments
from scripts.experiments.scripted.run import Arm, turns
from scripts.experiments.scripted.scenario import COMMANDS, parse_scenario
from scripts.experiments.scripted.schedule import schedule
from scripts.extensions.api import Execute, Impair, Inject, Lift, StepAction
from scripts.extensions.client import Worker
from scripts.extensions.naming import parse_use
from scripts.extensions.protocols import Kind
from scripts.testbed.extensions import OF_CONTROLLER, InForce
from scripts.testbed.faults import Element
from scripts.testbed.paths import REPOSITORY
from scripts.testbed.running_system import RunningSystem
from topologies.catalog import ukqntel
from topologies.links import Impairment, Shape

BAD = REPOSITORY / "tests" / "support" / "extensions"
TEXT = """
name: mine
title: mine
topology: ukqntel
slices: [{example: enterprise-app}]
traffic: [{kind: ping}]
duration_s: 5
timeline:
"""
CUT = "  - {at_s: 1, do: two-cuts, target: agg1-metro1-ch3}\n"
END = "  - {at_s: 2, do: two-cuts end, target: agg1-metro1-ch3}\n"
LOOK = "  - {at_s: 3, do: looks}\n"


@pytest.fixture(scope="module")
def extensions() -> InForce:
    uses = [f"{kind}={BAD}/scenario_parts.py:{name}" for kind, name in (("fault", "TwoCuts"), ("step", "Looks"))]
    return chosen_in_force([*uses, "fault=loss-delay", "metric=longest-gap"], tuple(Kind), "--use")


@pytest.fixture(scope="module")
def parts(extensions: InForce) -> PartNames:
    return PartNames.of(extensions, COMMANDS)


def test_a_timeline_may_name_them(parts):
    scenario = parse_scenario(TEXT + CUT + END + LOOK, "mine.yaml", parts=parts)
    actions = schedule(scenario, {}, 1, 1)
    assert [(a.do, a.is_fault) for a in actions] == [("two-cuts", True), ("two-cuts end", False), ("looks", False)]


def test_on_the_path_of_a_connection_too(parts):
    text = TEXT + "  - {at_s: 1, do: two-cuts, target: {path_of: enterprise-app/cell1-compute, hop: 1}}\n"
    (action,) = schedule(parse_scenario(text, "m", parts=parts), {"enterprise-app/cell1-compute": ("x", "y")}, 1, 1)
    assert action.targets == ("y",)


@pytest.mark.parametrize(
    ("timeline", "says"),
    [
        (CUT.replace("two-cuts", "three-cuts"), "is none of"),
        (CUT.replace("agg1-metro1-ch3", "nowhere"), "there is no channel"),
        (CUT + CUT.replace("at_s: 1", "at_s: 2"), "cannot happen twice"),
        (END, "there is no fault"),
        (CUT.replace(", target", ", direction: a-b, target"), "has no direction"),
        (LOOK.replace("looks", "looks, target: {between: [agg1, metro1]}"), "takes a text"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(parts, timeline, says):
    with pytest.raises(WrongRequest, match=r"mine.yaml:\d+") as told:
        parse_scenario(TEXT + timeline, "mine.yaml", parts=parts)
    assert says in str(told.value)


def test_without_use_they_are_unknown():
    with pytest.raises(WrongRequest, match="two-cuts"):
        parse_scenario(TEXT + CUT, "mine.yaml")


def test_words_that_are_taken_are_refused(extensions):
    taken = chosen_in_force([f"fault={BAD}/scenario_parts.py:TakesOurName"], tuple(Kind), "--use")
    with pytest.raises(WrongRequest, match="link up"):
        PartNames.of(taken, COMMANDS)
    with pytest.raises(WrongRequest, match="two of them are called"):
        chosen_in_force(["fault=loss-delay", "fault=loss-delay"], tuple(Kind), "--use")


def test_they_say_what_they_are_about(parts):
    assert parts.element_of("two-cuts end") is parts.element_of("loss-delay") is Element.CHANNEL
    assert parts.element_of("link down") is None


def test_loss_and_delay_are_refused_with_the_reason_where_the_kernel_cannot(extensions):
    topology = parse_scenario(TEXT + "  - {at_s: 1, do: link down, target: agg1-metro1-ch3}\n", "m").topology
    with pytest.raises(EnvironmentLacks, match="sch_netem"):
        require_impairments(topology, extensions, ["loss-delay"], can_impair=False)
    require_impairments(topology, extensions, ["loss-delay"], can_impair=True)
    require_impairments(topology, extensions, ["two-cuts"], can_impair=False)


def test_an_impairment_keeps_the_shape():
    line = Impairment(5.0, 10.0, 2.0).qdisc("x1", Shape(100.0, 50.0))
    assert line == "qdisc replace dev x1 root netem delay 10050us 2000us loss 5% limit 20000 rate 100mbit"
    assert Impairment(loss_pct=1.5).qdisc("x1", Shape(None, 0.0)).endswith("netem loss 1.5% limit 20000")
    for wrong in ((101.0, 0.0, 0.0), (0.0, 1.0, 2.0), (-1.0, 0.0, 0.0)):
        with pytest.raises(ValueError, match="_"):
            Impairment(*wrong)


class Nowhere:
    """A running system in which no command ends and nothing may be broken or lifted."""

    topology = ukqntel()
    faults = SimpleNamespace(active=tuple, inject=None, lift=None)

    def run(self, site: str, argv: tuple[str, ...], timeout_s: float) -> Any:
        raise subprocess.TimeoutExpired(argv, timeout_s)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Execute("cell1", ("sleep", "60")), "sleep 60 at cell1: had not ended after 10 s"),
        (Inject("link melt", "x"), "there is no fault 'link melt'"),
        (Inject("link impair", "x"), "that needs nothing else"),
        (Lift("link down", "x"), "nothing is lifted by 'link down'"),
        (Lift("link melt end", "x"), "nothing is lifted by 'link melt end'"),
        (Impair("x", "upwards"), "direction: 'upwards'"),
        (Impair("x", loss_pct=200.0), "loss_pct: 200"),
    ],
)
def test_an_answer_that_cannot_be_done_ends_the_repetition_and_not_the_experiment(
    monkeypatch: pytest.MonkeyPatch, extensions: InForce, action: StepAction, says: str
) -> None:
    monkeypatch.setattr(Worker, "ask", lambda *question: (action,))
    with Parts(cast(RunningSystem, Nowhere()), extensions) as parts, pytest.raises(CommandError) as told:
        parts.run("looks", (), "")
    assert says in str(told.value)


def test_arms_take_turns_so_that_what_drifts_hits_both_alike():
    a, b = Arm("a", lambda: None), Arm("b", lambda: None)
    assert [(n, arm.name) for n, arm in turns((a, b), 3) if arm] == [
        (1, "a"), (1, "b"), (2, "b"), (2, "a"), (3, "a"), (3, "b"),
    ]  # fmt: skip
    assert list(turns((), 2)) == [(1, None), (2, None)]


def test_one_path_computation_can_be_in_force():
    with pytest.raises(WrongRequest, match="named twice"):
        chosen_in_force(["pce=yen", "pce=builtin"], OF_CONTROLLER, "--use")
    assert parse_use("pce=yen", BAD).kind.value == "pce"
