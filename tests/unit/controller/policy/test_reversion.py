"""Back to the original path, when the request says so and the path has proved to be healthy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.model.states import ConnectionState
from controller.policy.reversion import Reversion
from controller.schema.slice_request import InvalidRequest, parse_slice_request, slice_request_to_dict
from tests.support.controller_bench import Bench, raw_request
from tests.unit.controller.policy.test_spares import make, pass_time
from topologies.catalog import metro_ring


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(metro_ring(), tmp_path / "db")


def channels(bench: Bench, connection_id: str) -> list[tuple[str, ...]]:
    return [lane.route.channels for lane in bench.model.connections[connection_id].lanes]


def test_by_default_nothing_moves_back(bench: Bench) -> None:
    connection_id = make(bench)
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    (second,) = channels(bench, connection_id)
    bench.mend(first[0])
    pass_time(bench, 3600.0)
    assert channels(bench, connection_id) == [second] != [first]


def test_it_goes_back_when_the_original_path_has_been_healthy_for_long_enough(bench: Bench) -> None:
    connection_id = make(bench, revert={"after_s": 30})
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    assert channels(bench, connection_id) != [first]
    pass_time(bench, 100.0)
    assert channels(bench, connection_id) != [first]
    bench.mend(first[0])
    pass_time(bench, 29.0)
    assert channels(bench, connection_id) != [first]
    pass_time(bench, 1.0)
    assert channels(bench, connection_id) == [first]
    connection = bench.model.connections[connection_id]
    assert connection.state is ConnectionState.ACTIVE
    assert connection.preferred is None
    assert connection.reroutes[-1].cause == "revert"
    bench.repair_all()


def test_an_interruption_starts_the_wait_anew(bench: Bench) -> None:
    connection_id = make(bench, revert={"after_s": 30})
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    bench.mend(first[0])
    pass_time(bench, 29.0)
    bench.cut(first[1])
    bench.maintenance.run_due()
    bench.mend(first[1])
    pass_time(bench, 29.0)
    assert channels(bench, connection_id) != [first]
    pass_time(bench, 1.0)
    assert channels(bench, connection_id) == [first]


def test_the_original_is_remembered_over_several_moves_and_a_restart(bench: Bench) -> None:
    connection_id = make(bench, revert={"after_s": 5})
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    (second,) = channels(bench, connection_id)
    bench.cut(second[1])
    after = bench.next_process()
    after.maintenance.load()
    after.cut(second[1])
    pass_time(after, 5.0)
    assert channels(after, connection_id) == [first]


def test_1_to_1_goes_back_to_its_primary_and_keeps_a_backup(bench: Bench) -> None:
    connection_id = make(bench, protection="1:1", revert={"after_s": 5})
    primary, backup = channels(bench, connection_id)
    bench.cut(primary[0])
    assert channels(bench, connection_id)[0] == backup
    bench.mend(primary[0])
    pass_time(bench, 5.0)
    assert channels(bench, connection_id) == [primary, backup]
    bench.repair_all()


def test_it_waits_while_the_original_path_is_full(bench: Bench) -> None:
    connection_id = make(bench, revert={"after_s": 5}, bandwidth_mbps=60, security="qkd")
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    bench.mend(first[0])
    other = make(bench, "other", bandwidth_mbps=60, security="qkd")
    assert channels(bench, other) == [first]
    pass_time(bench, 10.0)
    assert channels(bench, connection_id) != [first]
    bench.slices.delete("other")
    pass_time(bench, 1.0)
    assert channels(bench, connection_id) == [first]


def test_a_change_of_the_slice_makes_another_path_the_original(bench: Bench) -> None:
    connection_id = make(bench, revert={"after_s": 5})
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    bench.slices.modify("s", {"connections": {"control": {"bandwidth_mbps": 20}}})
    assert bench.model.connections[connection_id].preferred is None
    bench.mend(first[0])
    pass_time(bench, 10.0)
    assert channels(bench, connection_id) != [first]


@pytest.mark.parametrize(
    ("given", "understood"),
    [("off", None), (False, None), ({"after_s": 0}, 0.0), ({"after_s": 2.5}, 2.5)],
)
def test_what_a_request_may_say(given: Any, understood: float | None) -> None:
    request = parse_slice_request(raw_request("cdn", {"control": {"revert": given}}))
    assert request.specs["control"].revert_after_s == understood
    assert parse_slice_request(slice_request_to_dict(request)) == request


def test_yaml_s_own_off_is_understood() -> None:
    assert yaml.safe_load("revert: off") == {"revert": False}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("on", "connections.control.revert"),
        (True, "connections.control.revert"),
        (None, "connections.control.revert"),
        ({}, "connections.control.revert.after_s"),
        ({"after_s": -1}, "connections.control.revert.after_s"),
        ({"after_s": float("inf")}, "connections.control.revert.after_s"),
        ({"after_s": "soon"}, "connections.control.revert.after_s"),
        ({"after_s": 1, "then": 2}, "connections.control.revert.then"),
    ],
)
def test_a_wrong_revert_is_refused_by_the_name_of_its_field(given: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_slice_request(raw_request("cdn", {"control": {"revert": given}}))
    assert [path for path, _ in refusal.value.problems] == [field]


def test_health_is_counted_per_connection_and_forgotten_with_it(bench: Bench) -> None:
    connection_id = make(bench, revert={"after_s": 5})
    (first,) = channels(bench, connection_id)
    bench.cut(first[0])
    bench.mend(first[0])
    reversion = Reversion()
    assert reversion.due(bench.model, 0.0) == ()
    assert reversion.due(bench.model, 5.0) == (connection_id,)
    bench.slices.delete("s")
    assert reversion.due(bench.model, 6.0) == ()
