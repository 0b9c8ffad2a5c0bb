"""What `slice create` says, from the controller's own answers."""

from typing import Any

import pytest

from controller.northbound.views.slices import infeasible_view, plan_view
from controller.operations.slices.dry_run import preview
from controller.pce.computation import SlicePlan, UnknownKeyRates, plan_slice
from controller.pce.infeasibility import Infeasible
from controller.schema.slice_request import parse_slice_request
from controller.state.network_state import NetworkState
from scripts.cli import main
from scripts.cli.commands.slices import life_cycle as slices
from scripts.testbed.clients import Answer
from scripts.testbed.slice_requests import load_example
from topologies.catalog import load

KEY_RATE_MILLIBPS = 10**9  # millibit/s


def model() -> NetworkState:
    fresh = NetworkState(load("ukqntel"))
    for section in fresh.topology.sections:
        fresh.network.set_section(section.id, KEY_RATE_MILLIBPS, usable=True)
    return fresh


def plan(**access: Any) -> SlicePlan | UnknownKeyRates | Infeasible:
    request = load_example("enterprise-app")
    request["connections"]["access"].update(access)
    return plan_slice(model().network, parse_slice_request(request))


class Controller:
    """Answers every call alike."""

    def __init__(self, status: int, body: Any) -> None:
        self._answer = status, body

    def call(self, *_: Any) -> Answer:
        return self._answer


def dry_run(monkeypatch: pytest.MonkeyPatch, status: int, body: Any) -> int:
    monkeypatch.setattr(slices, "controller_of", lambda _arguments, _layout: Controller(status, body))
    return main.main(["slice", "create", "--example", "enterprise-app", "--dry-run"])


def test_a_dry_run_that_fits_shows_the_paths(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = plan()
    assert isinstance(planned, SlicePlan)
    answer = plan_view(preview(model(), planned))
    assert dry_run(monkeypatch, 200, answer) == 0
    said = capsys.readouterr().out
    assert "cell1-agg1-ch3 agg1-metro1-ch3" in said
    assert "tunnel, us" in said


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ({"bandwidth_mbps": 500}, "bandwidth at agg1-metro1-ch4: needs 500 Mbit/s, there is 100 Mbit/s"),
        ({"latency_ms": 0.1}, "latency at cell1-metro1: needs 0.1 ms, there is 1.216 ms"),
    ],
)
def test_what_does_not_fit_is_said_once_and_in_the_units_of_the_request(
    access: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = plan(**access)
    assert isinstance(refused, Infeasible)
    detail = "slice enterprise-app: no feasible path: " + refused.summary.replace("\n", "; ")
    assert dry_run(monkeypatch, 422, {"detail": detail, "code": "infeasible", **infeasible_view(refused)}) == 1
    said = capsys.readouterr().err
    assert f"enterprise-app/cell1-compute: {expected}" in said
    assert said.count("enterprise-app/cell1-compute:") == 1
