"""Scenario files: what makes no sense is refused with file and line, and a seed repeats the same faults."""

from __future__ import annotations

import re

import pytest

from scripts.errors import WrongRequest
from scripts.experiments.scripted.scenario import SHIPPED, connection_ids, find_scenario, parse_scenario, read_scenario
from scripts.experiments.scripted.schedule import schedule
from scripts.testbed.paths import REPOSITORY

GOOD = """\
name: test
title: a test
topology: ukqntel
slices:
  - example: enterprise-app
traffic:
  - {kind: ping}
duration_s: 10
timeline:
  - {at_s: 1, do: link down, target: agg1-metro1-ch3}
  - {at_s: 5, do: link up, target: agg1-metro1-ch3}
repetitions: 2
"""
PATHS = {"enterprise-app/cell1-compute": ("x1", "x2", "x3", "x4", "x5")}


def with_timeline(*steps: str) -> str:
    head, _, rest = GOOD.partition("timeline:\n")
    return (
        head
        + "timeline:\n"
        + "".join(f"  - {step}\n" for step in steps)
        + "repetitions:"
        + rest.split("repetitions:")[1]
    )


def test_a_scenario_that_makes_sense_is_read() -> None:
    scenario = parse_scenario(GOOD, "f.yaml")
    actions = schedule(scenario, {}, seed=1, repetition=1)
    assert [(a.at_s, a.do, a.targets) for a in actions] == [
        (1, "link down", ("agg1-metro1-ch3",)),
        (5, "link up", ("agg1-metro1-ch3",)),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("title: a test", "title: a test\ncolour: blue", 3, "colour"),
        ("topology: ukqntel", "topology: atlantis", 3, "atlantis"),
        ("repetitions: 2", "repetitions: 0", 12, "repetitions"),
        ("target: agg1-metro1-ch3}\n  - {at_s: 5", "target: nowhere}\n  - {at_s: 5", 10, "nowhere"),
        ("at_s: 5", "at_s: 0.5", 11, "out of order"),
        ("at_s: 5", "at_s: 11", 11, "lasts"),
        ("at_s: 5", "at_s: 1", 11, "same time"),
        ("do: link up", "do: link sideways", 11, "link sideways"),
        ("do: link up", "do: link down", 11, "twice"),
        ("do: link up, target: agg1-metro1-ch3", "do: node up, target: agg1", 11, "no fault"),
        ("do: link down", "do: link down, speed: 3", 10, "speed"),
        ("do: link down", "do: link down, direction: up", 10, "direction"),
        ("{kind: ping}", "{kind: ping, connections: [cdn/x]}", 7, "cdn/x"),
        ("{kind: ping}", "{kind: smoke}", 7, "kind"),
        ("duration_s: 10", "duration_s: 10\nduration_s: 12", 9, "second time"),
        ("- example: enterprise-app", "- {}", 5, "example"),
        ("duration_s: 10", "duration_s: [", 10, ""),
        ("duration_s: 10", "duration_s: .nan", 8, "duration_s"),
    ],
)
def test_nonsense_is_refused_with_file_and_line(old: str, new: str, line: int, says: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(WrongRequest) as refused:
        parse_scenario(text, "f.yaml")
    message = str(refused.value)
    found = re.match(r"f\.yaml:(\d+): ", message)
    assert found is not None, message
    assert int(found[1]) == line, message
    assert says in message


@pytest.mark.parametrize(
    "steps",
    [
        ("{at_s: 1, do: link flap, target: agg1-metro1-ch3, times: 4, period_s: 1}",
         "{at_s: 2, do: link down, target: agg1-metro1-ch3}"),
        ("{at_s: 1, do: link down, target: agg1-metro1-ch3}", "{at_s: 2, do: link flap, target: agg1-metro1-ch3}"),
        ("{at_s: 1, do: kill, target: kms}", "{at_s: 2, do: kill, target: kms}"),
        ("{at_s: 1, do: lift all, target: kms}",),
        ("{at_s: 1, do: kill}",),
        ("{at_s: 1, do: kill, target: {path_of: enterprise-app/cell1-compute}}",),
        ("{at_s: 1, do: link down, target: {path_of: enterprise-app/nothing}}",),
        ("{at_s: 1, do: link down, target: {between: [cell1, core1]}}",),
        ("{at_s: 1, do: link down, target: {around: [cell1, nowhere]}}",),
        ("{at_s: 1, do: link down, target: {around: [cell1, cell2, agg1, metro1, core1]}}",),
        ("{at_s: 1, do: eavesdrop start, target: s1, direction: a-b}",),
        ("{at_s: 1, do: restart, target: kms}",),
    ],
)  # fmt: skip
def test_contradictions_and_wrong_targets_are_refused(steps: tuple[str, ...]) -> None:
    with pytest.raises(WrongRequest, match=r"f\.yaml:\d+: timeline\[\d\]"):
        parse_scenario(with_timeline(*steps), "f.yaml")


def test_every_fault_may_overlap_with_another_elsewhere() -> None:
    parse_scenario(
        with_timeline(
            "{at_s: 1, do: link down, target: agg1-metro1-ch3}",
            "{at_s: 1, do: node down, target: metro1}",
            "{at_s: 2, do: link blackhole, target: agg1-metro1-ch3, direction: a-b}",
            "{at_s: 3, do: lift all}",
            "{at_s: 4, do: link down, target: agg1-metro1-ch3}",
        ),
        "f.yaml",
    )


def test_the_same_seed_draws_the_same_hops_and_the_lifting_meets_the_fault() -> None:
    hop = "target: {path_of: enterprise-app/cell1-compute, hop: random}"
    scenario = parse_scenario(
        with_timeline("{at_s: 1, do: link down, " + hop + "}", "{at_s: 2, do: link up, " + hop + "}"), "f.yaml"
    )
    drawn = [[a.targets for a in schedule(scenario, PATHS, seed, n)] for seed in range(8) for n in (1, 2)]
    again = [[a.targets for a in schedule(scenario, PATHS, seed, n)] for seed in range(8) for n in (1, 2)]
    assert drawn == again
    assert all(down == up for down, up in drawn)
    assert len({down for down, _ in drawn}) > 2


def test_a_target_of_now_is_chosen_from_the_paths_of_that_moment() -> None:
    scenario = parse_scenario(
        with_timeline("{at_s: 1, do: link down, target: {path_of: enterprise-app/cell1-compute, hop: 9, when: now}}"),
        "f.yaml",
    )
    (action,) = schedule(scenario, PATHS, 1, 1)
    assert action.resolve({"enterprise-app/cell1-compute": ("y1", "y2")}) == ("y2",)


def test_a_flap_becomes_cuts_and_mendings() -> None:
    scenario = parse_scenario(
        with_timeline("{at_s: 1, do: link flap, target: agg1-metro1-ch3, times: 2, period_s: 1}"), "f.yaml"
    )
    actions = schedule(scenario, {}, 1, 1)
    assert [(a.at_s, a.do) for a in actions] == [(1, "link down"), (1.5, "link up"), (2, "link down"), (2.5, "link up")]


def test_whole_fibres_and_connection_names() -> None:
    scenario = parse_scenario(with_timeline("{at_s: 1, do: link down, target: {between: [agg1, metro1]}}"), "f.yaml")
    (action,) = schedule(scenario, {}, 1, 1)
    assert action.targets == tuple(f"agg1-metro1-ch{n}" for n in range(1, 6))
    around = parse_scenario(with_timeline("{at_s: 1, do: link down, target: {around: [cell1, cell2, agg1]}}"), "f.yaml")
    assert schedule(around, {}, 1, 1)[0].targets == action.targets
    assert "enterprise-app/compute-core" in connection_ids(scenario.requests[0])


LISTED = """\
  - request:
      name: 2026
      sNSSAI: {sst: 1}
      connections:
        - {name: up, from: agg1, to: core1, security: dh, bandwidth_mbps: 1, latency_ms: 20}
"""


def test_a_slice_of_any_shape_has_the_connections_that_it_lists() -> None:
    text = GOOD.replace("  - example: enterprise-app\n", LISTED)
    scenario = parse_scenario(text.replace("{kind: ping}", "{kind: ping, connections: [2026/up]}"), "f.yaml")
    assert connection_ids(scenario.requests[0]) == ("2026/up",)
    with pytest.raises(WrongRequest, match=r"f\.yaml:5: slices\[0\]: topology ukqntel has no site 'agg9'"):
        parse_scenario(text.replace("agg1, to", "agg9, to"), "f.yaml")
    with pytest.raises(WrongRequest, match="no connection '2026/down'"):
        parse_scenario(text.replace("{kind: ping}", "{kind: ping, connections: [2026/down]}"), "f.yaml")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_scenario_makes_sense_and_is_documented(path: object) -> None:
    name = path.stem  # type: ignore[attr-defined]
    scenario = read_scenario(find_scenario(name))
    assert scenario.name == name
    assert scenario.file.look_for
    assert f"`{name}`" in (REPOSITORY / "docs/how-to/experiments.md").read_text(encoding="utf-8")


def test_an_unknown_experiment_names_those_that_there_are() -> None:
    with pytest.raises(WrongRequest, match="link-cut"):
        find_scenario("nothing")
