"""What ``bench provision`` makes of its measurements: figures by the contract's names, and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.schema.slice_request import parse_slice_request
from scripts.bench import charts
from scripts.bench.provision import fill, modes
from scripts.bench.provision import run as provision
from scripts.bench.provision.fill import Added, Series
from scripts.bench.provision.run import Case, Run
from scripts.cli.main import main
from scripts.measure.places import places_in
from topologies.catalog import load

PNG = b"\x89PNG\r\n\x1a\n"


def run(n: int) -> Run:
    return Run({"reserved": 2.0, "barriers": 10.0 + n, "active": 30.0 + n}, 33.0 + n, 40.0 + n, 80.0 + n)


def cases() -> list[Case]:
    return [
        Case("enterprise-app", [run(n) for n in range(100)]),
        Case("cdn", [run(n) for n in range(98)], ["first packet of cdn/cell1-compute: no reply", "HTTP 503"]),
    ]


def test_figures_have_the_names_of_the_contract() -> None:
    figures = provision.figures(cases(), runs=100)
    for case in ("enterprise-app", "cdn"):
        for what in ("to_barriers_ms", "to_first_packet_ms", "teardown_ms"):
            assert {f"{case}.{what}.p50", f"{case}.{what}.p99"} <= set(figures)
        assert f"{case}.failures" in figures
    assert figures["runs"] == 100
    assert figures["enterprise-app.to_barriers_ms.p50"] == 59.0
    assert figures["enterprise-app.to_barriers_ms.p99"] == 108.0
    assert figures["enterprise-app.to_first_packet_ms.p50"] == 89.0
    assert figures["enterprise-app.stages.reserved_ms.p99"] == 2.0
    assert figures["enterprise-app.failures"] == 0
    assert figures["cdn.failures"] == 2


def test_stages_stand_in_the_order_in_which_they_end() -> None:
    assert provision.stages(cases()[0]) == ("reserved", "barriers", "active")


def test_failures_are_told_once_with_how_often() -> None:
    assert provision.failure_notes(["b", "a", "b"]) == ["failed 2 times: b", "failed 1 times: a"]
    assert provision.failure_notes([]) == []


def test_a_case_that_never_worked_has_failures_and_no_times() -> None:
    figures = provision.figures([Case("cdn", [], ["HTTP 503"] * 3)], runs=3)
    assert figures == {"runs": 3, "cdn.failures": 3}


def test_fill_compares_the_first_slices_with_the_last() -> None:
    series = Series([Added(n, n + 10.0, n + 20.0) for n in range(1, 51)], refusal_ms=7.0, teardown_ms=[5.0])
    figures = fill.figures(series)
    assert figures["fill.slices"] == 50
    assert figures["fill.p50_ms_first_10"] == 25.0
    assert figures["fill.p50_ms_last_10"] == 65.0
    assert figures["fill.to_barriers_ms.p50_first_10"] == 5.0
    assert figures["fill.refusal_ms"] == 7.0
    assert fill.figures(Series()) == {"fill.slices": 0, "fill.failures": 0}


def test_every_request_of_the_series_is_valid_and_of_its_own_name() -> None:
    requests = [
        parse_slice_request(fill.small_slice(number, places_in(load("metro-ring")))) for number in (1, 2, fill.MOST)
    ]
    assert len({request.name for request in requests}) == 3


def test_pictures_are_drawn_even_of_few_runs(tmp_path: Path) -> None:
    few = [Case("enterprise-app", [run(1)]), Case("cdn", [], ["HTTP 503"])]
    charts.draw_histograms(few, tmp_path / "histograms.png")
    charts.draw_fill(Series([Added(1.0, 2.0, 3.0)]), tmp_path / "fill.png")
    for name in ("histograms.png", "fill.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("provision", "--runs", "0"), "--runs"),
        (("provision", "--runs", "many"), "--runs"),
        (("provision", "--slices", "-1"), "--slices"),
        (("nonsense",), "no such action: 'nonsense'; there are provision,"),
        ((), "bench: missing: ACTION"),
    ],
)
def test_wrong_requests_name_what_is_wrong(
    words: tuple[str, ...], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    assert field in capsys.readouterr().err


def test_both_modes_stand_beside_each_other_with_what_their_traces_say() -> None:
    found = modes.InTurns()
    for case in found.cases:
        case.runs += [run(n) for n in range(4)]
    device, other = {"layer": "device"}, {"layer": "hosts"}
    for mode, steps in (("parallel", [other]), ("sequential", [device, device, other])):
        for task, total in (("set_up", 100.0), ("take_down", 50.0)):
            found.traces.append(
                {"mode": mode, "task": task, "steps_ms": total * 0.99, "total_ms": total, "steps": steps}
            )
    figures = modes.figures(found, 4)
    assert figures["parallel.cdn.to_barriers_ms.p50"] == figures["sequential.enterprise-app.to_barriers_ms.p50"] == 11.0
    assert figures["sequential.steps_to_total.min"] == figures["parallel.steps_to_total.max"] == pytest.approx(0.99)
    assert figures["sequential.device_steps.p50"] == 2
    assert figures["parallel.enterprise-app.failures"] == 0


def test_both_modes_go_with_runs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "provision", "--both-modes", "--slices", "3"]) == 2
    assert "--both-modes" in capsys.readouterr().err
