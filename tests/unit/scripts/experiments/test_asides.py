"""Timeline entries that break nothing: read, checked with line, scheduled; an assertion says what is otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.errors import WrongRequest
from scripts.experiments.scripted.scenario import parse_scenario
from scripts.experiments.scripted.schedule import schedule
from scripts.experiments.scripted.steps import Assertion, Change, Command
from tests.unit.scripts.experiments.test_scenarios import with_timeline
from topologies.links import Impairment

CONNECTION = "enterprise-app/cell1-compute"
PATCH = "{at_s: 2, do: slice patch, target: enterprise-app, patch: {connections: {access: {bandwidth_mbps: 5}}}}"
RUN = "{at_s: 3, do: exec, target: cell1, run: [ip, -br, link], status: 0}"
ASSERT = f"{{at_s: 4, do: assert, target: {CONNECTION}, state: ACTIVE, lost_at_most: 3, within_s: 2}}"
IMPAIR = "{at_s: 1, do: link impair, target: agg1-metro1-ch3, loss_pct: 2, delay_ms: 20, jitter_ms: 5}"


def test_all_of_them_are_read_and_scheduled() -> None:
    scenario = parse_scenario(with_timeline(IMPAIR, PATCH, RUN, ASSERT), "f.yaml")
    impair, *asides = schedule(scenario, {}, seed=1, repetition=1)
    assert (impair.is_fault, impair.impairment) == (True, Impairment(2.0, 20.0, 5.0))
    change, command, assertion = (a.aside for a in asides)
    assert isinstance(change, Change)
    assert change.patch == {"connections": {"access": {"bandwidth_mbps": 5}}}
    assert isinstance(command, Command)
    assert command.argv == ("ip", "-br", "link")
    assert isinstance(assertion, Assertion)
    assert assertion.words == f"{CONNECTION} is ACTIVE, has lost at most 3 probes"
    assert not any(a.is_fault for a in asides)
    line = parse_scenario(with_timeline(RUN.replace("[ip, -br, link]", "'ip link | wc -l'")), "f.yaml")
    (entry,) = line.file.timeline
    assert isinstance(entry, Command)
    assert entry.argv == ("sh", "-c", "ip link | wc -l")


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (PATCH.replace("enterprise-app", "cdn"), "target: there is no slice 'cdn'; there are enterprise-app"),
        (PATCH.replace("{connections: {access: {bandwidth_mbps: 5}}}", "{}"), "patch: Dictionary should have at least"),
        (RUN.replace("cell1", "mars"), "target: there is no host 'mars'"),
        (RUN.replace("[ip, -br, link]", "[]"), "run"),
        (RUN.replace("status: 0", "status: 256"), "status"),
        (ASSERT.replace(CONNECTION, "enterprise-app/x"), "target: there is no connection 'enterprise-app/x'"),
        (ASSERT.replace("ACTIVE", "GREEN"), "state"),
        (ASSERT.replace("state: ACTIVE, lost_at_most: 3, ", ""), "it asserts nothing"),
        (ASSERT.replace("state: ACTIVE", "over: nowhere"), "over: there is no channel 'nowhere'"),
        (ASSERT.replace("within_s: 2", "within_s: 20"), "done only at 24 s, but the experiment lasts 10 s"),
        (ASSERT.replace("within_s: 2", "speed: 2"), "speed"),
        (IMPAIR.replace("loss_pct: 2, delay_ms: 20, jitter_ms: 5", "direction: a-b"), "takes loss_pct, delay_ms or"),
        (IMPAIR.replace("link impair", "link down"), "'link impair', and it alone"),
        (IMPAIR.replace("delay_ms: 20", "delay_ms: 2"), "jitter_ms: 5 is more than delay_ms, 2"),
        (IMPAIR.replace("loss_pct: 2", "loss_pct: 200"), "loss_pct"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(step: str, says: str) -> None:
    with pytest.raises(WrongRequest) as refused:
        parse_scenario(with_timeline(step), "f.yaml")
    assert str(refused.value).startswith("f.yaml:10: timeline[0]"), refused.value
    assert says in str(refused.value)


VIEW = {"state": "ACTIVE", "key_source": "qra", "path": ["x1", "x2"], "reason": ""}


@pytest.mark.parametrize(
    ("asserted", "wrong"),
    [
        ({"state": "ACTIVE", "key_source": "qra", "over": "x2", "avoids": "x3"}, None),
        ({"state": "DEGRADED"}, "it is ACTIVE"),
        ({"key_source": "qkd"}, "its keys are of qra"),
        ({"over": "x3"}, "it is on x1, x2"),
        ({"avoids": "x1"}, "it is on x1, x2"),
    ],
)
def test_an_assertion_says_what_is_otherwise(asserted: dict[str, Any], wrong: str | None) -> None:
    assertion = Assertion.model_validate({"at_s": 1, "do": "assert", "target": "s/c", **asserted})
    told = assertion.contradicted_by(VIEW)
    assert (told is None) if wrong is None else told is not None and told.startswith(wrong)
    assert assertion.contradicted_by(None) == "the controller did not say"
