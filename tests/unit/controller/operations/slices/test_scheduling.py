"""Slices that begin and end by the clock."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import (
    DriverError,
    ReservationExpired,
)
from controller.model.events import SliceChanged
from controller.model.key_rates import SectionStatus
from controller.model.request import compute_of
from controller.model.states import SliceState
from controller.persistence.sqlite_journal import Store
from controller.schema.slice_request import InvalidRequest, parse_slice_request, slice_request_to_dict
from controller.testing.checkpoints import CREATE_CHECKPOINTS
from tests.support.controller_bench import Bench, raw_request, request_for
from tests.support.wait import wait_until
from tests.unit.controller.operations.slices.test_slice_operations import NAME, TOO_WIDE, at, restarted
from topologies.catalog import ukqntel


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ukqntel(), tmp_path / "db")


def moment(seconds: float) -> str:
    """As it stands in a request."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_a_nightly_slice_comes_and_goes_by_itself(bench: Bench) -> None:
    start = bench.state()
    request = replace(request_for(NAME), start=at(bench, 100), end=at(bench, 200))
    assert bench.slices.create(request).state is SliceState.SCHEDULED
    bench.run_schedule()
    assert bench.model.slice(NAME).state is SliceState.SCHEDULED
    after = restarted(bench)  # it waits through a restart
    after.now += 100
    after.run_schedule()
    assert after.model.slice(NAME).state is SliceState.ACTIVE
    after.now += 99
    after.run_schedule()
    assert after.model.slice(NAME).state is SliceState.ACTIVE
    after.now += 1
    after.run_schedule()
    assert after.state() == start


def test_fault_36_a_start_can_be_moved_both_ways_and_what_begins_is_what_was_asked_for_last(bench: Bench) -> None:
    bench.slices.create(replace(request_for(NAME), start=at(bench, 100)))
    bench.slices.modify(NAME, {"start": moment(at(bench, 300)), "compute": {"vcpus": 1}})
    after = restarted(bench)
    after.now += 200
    after.run_schedule()
    assert after.model.slice(NAME).state is SliceState.SCHEDULED
    after.slices.modify(NAME, {"start": moment(after.now - 1)})
    after.run_schedule()
    record = after.model.slice(NAME)
    needs = compute_of(record.request, record.compute_site).values()
    assert (record.state, [need.vcpus for need in needs]) == (SliceState.ACTIVE, [1])
    with pytest.raises(InvalidRequest, match="start"):
        after.slices.modify(NAME, {"start": moment(at(after, 900))})


def test_fault_36_a_change_that_the_journal_refuses_leaves_the_slice_as_it_was(bench: Bench) -> None:
    scheduled = bench.slices.create(replace(request_for(NAME), start=at(bench, 100)))
    bench.store.close()
    bench.context.journal = bench.store = Store(bench.database, busy_timeout_s=0.01)
    with contextlib.closing(sqlite3.connect(bench.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DriverError):
            bench.slices.modify(NAME, {"compute": {"vcpus": 1}})
    assert bench.model.slice(NAME) is scheduled


def test_fault_36_a_slice_that_is_changed_while_it_is_being_begun_begins_as_changed(bench: Bench) -> None:
    bench.slices.create(replace(request_for(NAME), start=at(bench, 100)))
    bench.now += 101
    sections, changes = bench.key_rates.sections, [{"compute": {"vcpus": 1}, "start": None}]

    def change_meanwhile() -> tuple[SectionStatus, ...]:
        if changes:
            bench.slices.modify(NAME, changes.pop())
        return sections()

    bench.key_rates.sections = change_meanwhile  # type: ignore[method-assign]
    bench.run_schedule()
    bench.run_schedule()
    record = bench.model.slice(NAME)
    needs = compute_of(record.request, record.compute_site).values()
    assert (record.state, [need.vcpus for need in needs]) == (SliceState.ACTIVE, [1])


def test_a_scheduled_slice_that_does_not_fit_when_its_time_comes_fails_and_says_why(bench: Bench) -> None:
    start = bench.state()
    follower = bench.events.follow()
    request = replace(request_for("cdn", TOO_WIDE), start=at(bench, 10), end=at(bench, 20))
    bench.slices.create(request)
    bench.now += 11
    bench.run_schedule()
    failed = bench.model.slice("cdn")
    assert failed.state is SliceState.FAILED
    assert failed.reason is not None
    assert "no feasible path" in failed.reason
    seen = []
    while (event := follower.next(0)) is not None:
        seen.append(event.what)
    assert seen[-1] == SliceChanged("cdn", SliceState.FAILED, failed.reason)
    assert (failed, ()) in bench.store.load()
    bench.now += 10
    bench.run_schedule()
    assert bench.state() == start


def test_a_scheduled_slice_that_is_deleted_while_its_start_is_being_planned_stays_deleted(bench: Bench) -> None:
    start = bench.state()
    bench.slices.create(replace(request_for(NAME), start=at(bench, 10)))
    bench.now += 11

    def delete_meanwhile(site: str) -> bool:
        if NAME in bench.model.slices:
            bench.slices.delete(NAME)
        return True

    bench.switches.is_ready = delete_meanwhile  # type: ignore[method-assign]
    bench.run_schedule()
    assert bench.state() == start


@pytest.mark.parametrize("step", CREATE_CHECKPOINTS[:-1])
def test_a_scheduled_slice_whose_creation_died_is_made_by_the_next_process(bench: Bench, step: str) -> None:
    bench.slices.create(replace(request_for(NAME), start=at(bench, 10)))
    bench.now += 10

    def die(reached: str) -> None:
        if reached == step:
            raise KeyboardInterrupt

    bench.at_checkpoint = die
    with pytest.raises(KeyboardInterrupt):
        bench.maintenance._timed.scheduling.start(NAME)
    after = restarted(bench)
    after.run_schedule()
    assert after.model.slice(NAME).state is SliceState.ACTIVE


@pytest.mark.parametrize(
    ("times", "field"),
    [
        ({"start": "2030-01-01T02:00:00Z", "end": "2030-01-01T01:00:00Z"}, "end"),
        ({"start": "2030-01-01T02:00:00Z", "end": "2030-01-01T02:00:00Z"}, "end"),
        ({"start": "2030-01-01T02:00:00"}, "start"),
        ({"start": 1893456000}, "start"),
        ({"start": "1893456000"}, "start"),
        ({"end": "soon"}, "end"),
        ({"end": "9999-12-31T23:59:59-23:59"}, "end"),
        ({"start": True}, "start"),
    ],
)
def test_times_that_mean_nothing_are_refused_by_their_field(times: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_slice_request(raw_request("cdn", **times))
    assert caught.value.problems[0][0] == field


def test_times_are_written_as_they_were_read(bench: Bench) -> None:
    raw = raw_request("cdn", start="2030-01-01T02:00:00+02:00", end="2030-01-01T00:00:01Z")
    request = parse_slice_request(raw)
    assert parse_slice_request(slice_request_to_dict(request)) == request
    with pytest.raises(InvalidRequest, match="end: has passed"):
        bench.slices.create(replace(request_for("cdn"), end=at(bench, -1)))
    assert bench.slices.create(replace(request_for("cdn"), start=at(bench, -1))).state is SliceState.ACTIVE


def test_fault_21_a_slow_start_holds_up_neither_expiries_nor_other_starts_nor_ends(bench: Bench) -> None:
    """The agents of the first slice say nothing for as long as it takes."""
    answer = threading.Event()
    wait_up = bench.tunnels.wait_up

    def wait_for_answer(site: str, connection_id: str, timeout_s: float) -> None:
        if connection_id.startswith(f"{NAME}/"):
            answer.wait(60)
        wait_up(site, connection_id, timeout_s)

    bench.tunnels.wait_up = wait_for_answer  # type: ignore[method-assign]
    bench.slices.create(replace(request_for("cdn", name="ended"), end=at(bench, 8)))
    held = bench.slices.reserve(request_for("cdn", name="reserved"), 12.0)
    bench.slices.create(replace(request_for(NAME), start=at(bench, 4)))
    bench.slices.create(replace(request_for("cdn"), start=at(bench, 16)))

    def clockwork() -> None:
        # As the process does it: the next round begins when this one is over.
        for _ in range(5):
            bench.maintenance.run_schedule()
            bench.now += 5

    try:
        threading.Thread(target=clockwork, daemon=True).start()
        wait_until(lambda: "ended" not in bench.model.slices and "reserved" not in bench.model.slices, 20)
        wait_until(lambda: bench.model.slices["cdn"].state is SliceState.ACTIVE, 20)
        assert bench.model.slices[NAME].state is SliceState.PROVISIONING
        with pytest.raises(ReservationExpired):
            bench.slices.reservation(held.id)
    finally:
        answer.set()
    wait_until(lambda: bench.model.slices[NAME].state is SliceState.ACTIVE, 20)
