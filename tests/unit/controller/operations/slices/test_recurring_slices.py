"""Slices that come again: made and removed by the clock as often as they say, whatever happens in between."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import DriverError
from controller.model.states import SliceState
from controller.persistence.sqlite_journal import Store
from controller.schema.slice_request import InvalidRequest, parse_slice_request, slice_request_to_dict
from controller.testing.checkpoints import CREATE_CHECKPOINTS, DELETE_CHECKPOINTS
from tests.support.controller_bench import Bench, raw_request, request_for
from tests.unit.controller.operations.slices.test_slice_operations import TOO_WIDE, restarted
from topologies.catalog import ukqntel

NAME = "cdn"
DAY_S = 86_400


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ukqntel(), tmp_path / "db")


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def daily(bench: Bench, **more: Any) -> dict[str, Any]:
    """A backup of ten minutes that begins in an hour, and then every day."""
    start = bench.now + 3600
    return {"start": moment(start), "stop": moment(start + 600), "every": "P1D", **more}


def state(bench: Bench) -> SliceState:
    return bench.model.slice(NAME).state


def number(bench: Bench) -> int:
    occurrence = bench.model.slice(NAME).occurrence
    assert occurrence is not None
    return occurrence.number


def go(bench: Bench, seconds: float) -> None:
    bench.now += seconds
    bench.run_schedule()


def test_a_daily_backup_comes_and_goes_until_it_has_been_as_often_as_asked(bench: Bench) -> None:
    start = bench.state()
    schedule = daily(bench, count=3)
    assert bench.slices.create(request_for(NAME, schedule=schedule)).state is SliceState.SCHEDULED
    waiting = bench.state()
    go(bench, 0)
    assert (bench.state()[:7], state(bench)) == (start[:7], SliceState.SCHEDULED)
    for expected in (1, 2, 3):
        go(bench, 3600)
        assert (state(bench), number(bench)) == (SliceState.ACTIVE, expected)
        go(bench, 599)
        assert state(bench) is SliceState.ACTIVE
        go(bench, 1)
        if expected < 3:
            assert (state(bench), number(bench)) == (SliceState.SCHEDULED, expected + 1)
            assert bench.state()[:9] == waiting[:9]
        bench.now += DAY_S - 4200
    assert bench.state() == start


@pytest.mark.parametrize("step", [*CREATE_CHECKPOINTS[:-1], *DELETE_CHECKPOINTS])
def test_a_process_that_dies_at_any_step_loses_no_later_occurrence(bench: Bench, step: str) -> None:
    start = bench.state()
    bench.slices.create(request_for(NAME, schedule=daily(bench, count=2)))
    bench.now += 3600

    def die(reached: str) -> None:
        if reached == step:
            raise KeyboardInterrupt

    bench.at_checkpoint = die

    def come_and_go() -> None:
        scheduling = bench.maintenance._timed.scheduling
        scheduling.start(NAME)
        bench.now += 600
        scheduling._end(NAME)

    with pytest.raises(KeyboardInterrupt):
        come_and_go()
    after = restarted(bench)
    go(after, 0)
    if step in CREATE_CHECKPOINTS:
        assert (state(after), number(after)) == (SliceState.ACTIVE, 1)
        go(after, 600)
    assert (state(after), number(after)) == (SliceState.SCHEDULED, 2)
    go(after, DAY_S - 600)
    assert state(after) is SliceState.ACTIVE
    go(after, 600)
    assert after.state() == start


def test_an_occurrence_that_does_not_fit_is_passed_over_and_the_next_one_tried(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, TOO_WIDE, schedule=daily(bench)))
    go(bench, 3600)
    record = bench.model.slice(NAME)
    assert (record.state, number(bench)) == (SliceState.SCHEDULED, 2)
    assert record.reason is not None
    assert "occurrence 1" in record.reason
    assert "no feasible path" in record.reason
    after = restarted(bench)
    assert after.model.slice(NAME) == record
    after.slices.modify(NAME, {"connections": {"access": {"bandwidth_mbps": 5}}})
    go(after, 0)
    assert (state(after), number(after)) == (SliceState.SCHEDULED, 2)  # the change brings the first one not back
    go(after, DAY_S)
    assert (state(after), after.model.slice(NAME).reason) == (SliceState.ACTIVE, None)


def test_the_last_occurrence_that_does_not_fit_leaves_the_slice_failed_and_its_end_takes_it(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, TOO_WIDE, schedule=daily(bench, count=1)))
    go(bench, 3600)
    assert state(bench) is SliceState.FAILED
    go(bench, 600)
    assert NAME not in bench.model.slices


def test_a_creation_that_is_rolled_back_is_passed_over_too(bench: Bench) -> None:
    start = bench.state()

    def no_answer(site: str, connection_id: str, timeout_s: float) -> None:
        raise DriverError("the agent says nothing")

    wait_up, bench.tunnels.wait_up = bench.tunnels.wait_up, no_answer  # type: ignore[method-assign]
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    go(bench, 3600)
    assert (state(bench), number(bench)) == (SliceState.SCHEDULED, 2)
    assert bench.state()[:7] == start[:7]
    bench.tunnels.wait_up = wait_up  # type: ignore[method-assign]
    go(bench, 1)
    assert state(bench) is SliceState.SCHEDULED
    go(bench, DAY_S)
    assert state(bench) is SliceState.ACTIVE


def test_a_clock_that_is_set_forth_passes_over_what_would_have_been_over(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, schedule=daily(bench, count=9)))
    bench.set_forth_s = 3 * DAY_S + 3600 + 700
    go(bench, 0)
    record = bench.model.slice(NAME)
    assert (record.state, number(bench)) == (SliceState.SCHEDULED, 5)
    assert record.reason is not None
    assert "over before" in record.reason
    go(bench, DAY_S - 200)  # within the fifth: it is made late rather than not
    assert (state(bench), number(bench)) == (SliceState.ACTIVE, 5)


def test_a_clock_that_is_set_back_brings_no_occurrence_twice(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    go(bench, 3600)
    go(bench, 600)
    bench.set_forth_s = -600
    go(bench, 0)
    assert (state(bench), number(bench)) == (SliceState.SCHEDULED, 2)


def test_a_delete_ends_all_occurrences(bench: Bench) -> None:
    start = bench.state()
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    go(bench, 3600)
    bench.slices.delete(NAME)
    assert bench.state() == start
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    bench.slices.delete(NAME)
    go(bench, DAY_S)
    assert bench.state() == start


def test_what_is_changed_during_an_occurrence_holds_for_the_next_and_the_schedule_waits(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    go(bench, 3600)
    with pytest.raises(InvalidRequest, match="schedule: cannot be changed while the slice is there"):
        bench.slices.modify(NAME, {"schedule": {"count": 1}})
    bench.slices.modify(NAME, {"connections": {"access": {"bandwidth_mbps": 3}}})
    assert number(bench) == 1
    go(bench, 600)
    go(bench, DAY_S - 600)
    assert (state(bench), number(bench)) == (SliceState.ACTIVE, 2)
    assert bench.model.slice(NAME).request.specs["access"].bandwidth_kbps == 3000


def test_between_two_occurrences_a_schedule_can_be_changed_and_begins_anew(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    bench.slices.modify(NAME, {"schedule": {"every": "PT1H", "time_zone": None}})
    go(bench, 3600)
    go(bench, 600)
    go(bench, 3000)
    assert (state(bench), number(bench)) == (SliceState.ACTIVE, 2)
    go(bench, 600)
    bench.slices.modify(NAME, {"schedule": None})
    go(bench, 0)
    assert (state(bench), bench.model.slice(NAME).occurrence) == (SliceState.ACTIVE, None)


def test_an_end_that_the_journal_refuses_is_tried_again(bench: Bench) -> None:
    bench.slices.create(request_for(NAME, schedule=daily(bench)))
    go(bench, 3600)
    bench.store.close()
    bench.context.journal = bench.store = Store(bench.database, busy_timeout_s=0.01)
    with contextlib.closing(sqlite3.connect(bench.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        go(bench, 600)
        assert state(bench) is SliceState.ACTIVE
    go(bench, 1)
    assert (state(bench), number(bench)) == (SliceState.SCHEDULED, 2)


def test_neither_a_reservation_nor_a_batch_can_recur(bench: Bench) -> None:
    request = request_for(NAME, schedule=daily(bench))
    with pytest.raises(InvalidRequest, match="schedule"):
        bench.slices.reserve(request, 60)
    with pytest.raises(InvalidRequest, match=r"slices\.0\.schedule"):
        bench.slices.create_batch([request])


WELL = {"start": "2030-03-30T22:00:00+01:00", "stop": "2030-03-30T23:00:00+01:00", "every": "P1D"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"stop": "2030-03-30T22:00:00+01:00"}, "schedule.stop"),
        ({"start": "2030-03-30T22:00:00"}, "schedule.start"),
        ({"every": "1 day"}, "schedule.every"),
        ({"every": "P1M"}, "schedule.every"),
        ({"every": "P"}, "schedule.every"),
        ({"every": "PT"}, "schedule.every"),
        ({"every": "P0D"}, "schedule.every"),
        ({"every": "P1DT1H"}, "schedule.every"),
        ({"every": "PT1H"}, "schedule.every"),
        ({"every": "PT4S"}, "schedule.every"),
        ({"time_zone": "Europe/Ipswich"}, "schedule.time_zone"),
        ({"time_zone": "../../etc/passwd"}, "schedule.time_zone"),
        ({"time_zone": ""}, "schedule.time_zone"),
        ({"until": "2030-03-30T20:00:00Z"}, "schedule.until"),
        ({"count": 0}, "schedule.count"),
        ({"count": 2.0}, "schedule.count"),
        ({"count": 2, "until": "2031-01-01T00:00:00Z"}, "schedule.count"),
        ({"often": True}, "schedule.often"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_slice_request(raw_request(NAME, schedule=WELL | changes))
    assert caught.value.problems[0][0] == field


@pytest.mark.parametrize("beside", [{"start": "2030-01-01T00:00:00Z"}, {"end": "2031-01-01T00:00:00Z"}])
def test_a_schedule_stands_alone(beside: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="schedule: says when"):
        parse_slice_request(raw_request(NAME, schedule=WELL, **beside))


def test_a_schedule_that_is_over_is_refused(bench: Bench) -> None:
    over = daily(bench, start="2001-01-01T00:00:00Z", stop="2001-01-01T01:00:00Z", count=3)
    with pytest.raises(InvalidRequest, match="last occurrence has passed"):
        bench.slices.create(request_for(NAME, schedule=over))


@pytest.mark.parametrize(
    "changes",
    [{}, {"every": "P2W", "time_zone": "Europe/London"}, {"every": "PT36H1M1S", "count": 4},
     {"until": "2030-05-01T00:00:00Z"}],
)  # fmt: skip
def test_a_schedule_is_written_as_it_was_read(changes: dict[str, Any]) -> None:
    request = parse_slice_request(raw_request(NAME, schedule=WELL | changes))
    assert parse_slice_request(slice_request_to_dict(request)) == request
