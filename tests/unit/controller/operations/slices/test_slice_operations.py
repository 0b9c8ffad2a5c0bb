"""Reservations, batches, feasibility jobs; deletes that come in between; a journal that refuses."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import (
    DriverError,
    DuplicateSlice,
    ProvisioningFailed,
    ReservationExpired,
    SliceBusy,
    Superseded,
    UnknownReservation,
)
from controller.model.request import SliceRequest
from controller.model.states import SliceState
from controller.operations.context import InfeasibleRequest
from controller.operations.slices.feasibility import ReservationStatus, UnknownJob
from controller.operations.slices.reservations import MAX_RESERVATION_S
from controller.persistence.sqlite_journal import Store, StoreError
from controller.schema.slice_request import InvalidRequest
from controller.testing.checkpoints import CREATE_CHECKPOINTS, DELETE_CHECKPOINTS
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import ukqntel

NAME = "enterprise-app"
TOO_WIDE = {"access": {"bandwidth_mbps": 500}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ukqntel(), tmp_path / "db")


def at(bench: Bench, seconds: float) -> float:
    return bench.now + seconds


def restarted(bench: Bench) -> Bench:
    after = bench.next_process()
    after.now = bench.now
    after.maintenance.load()
    after.maintenance.refresh_keys()
    after.maintenance.recover()
    after.repair_all()
    return after


# --- two phases ---------------------------------------------------------------------------------------------------


def test_a_reservation_holds_resources_and_touches_no_switch(bench: Bench) -> None:
    start, rules = bench.state(), bench.switches.held()
    held = bench.slices.reserve(request_for(NAME), 60.0)
    assert bench.model.slice(NAME).state is SliceState.RESERVED
    assert bench.switches.held() == rules
    assert bench.tunnels.told == {}
    assert any(bench.model.network.reserved_kbps(c.id) for c in bench.topology.channels)
    assert held.plan.compute_site == "metro1"
    with pytest.raises(DuplicateSlice):
        bench.slices.create(request_for(NAME))
    bench.slices.roll_back(held.id)
    assert bench.state() == start
    for ask in (bench.slices.roll_back, bench.slices.commit, bench.slices.reservation):
        with pytest.raises(ReservationExpired, match="rolled back"):
            ask(held.id)


def test_a_committed_reservation_is_the_slice_that_was_planned(bench: Bench, tmp_path: Path) -> None:
    held = bench.slices.reserve(request_for(NAME), 60.0)
    reserved = bench.model.connections_of(NAME)
    record = bench.slices.commit(held.id)
    assert (record.state, record.reservation, record.expires_at) == (SliceState.ACTIVE, None, None)
    assert [c.lanes for c in bench.model.connections_of(NAME)] == [c.lanes for c in reserved]
    with pytest.raises(ReservationExpired, match="committed"):
        bench.slices.commit(held.id)
    other = Bench(ukqntel(), tmp_path / "other")
    other.slices.create(request_for(NAME))
    assert bench.switches.held() == other.switches.held()


@pytest.mark.parametrize("ticks", [True, False])
def test_an_expired_reservation_is_given_back_and_cannot_be_committed(bench: Bench, ticks: bool) -> None:
    start = bench.state()
    held = bench.slices.reserve(request_for(NAME), 30.0)
    bench.now += 29.9
    bench.run_schedule()
    assert [r.name for r in bench.slices.reservations()] == [NAME]
    bench.now += 0.2
    if ticks:
        bench.run_schedule()
        assert bench.state() == start
    with pytest.raises(ReservationExpired, match="has expired"):
        bench.slices.commit(held.id)
    assert bench.state() == start
    with pytest.raises(UnknownReservation):
        bench.slices.commit("never-heard-of")


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_a_reservation_ends_at_a_time_that_makes_sense(bench: Bench, ttl_s: float) -> None:
    start = bench.state()
    with pytest.raises(InvalidRequest, match="expires_in_s"):
        bench.slices.reserve(request_for(NAME), ttl_s)
    assert bench.state() == start


def test_a_reservation_outlives_the_process_but_not_its_time(bench: Bench) -> None:
    start = bench.state()
    held = bench.slices.reserve(request_for(NAME), 60.0)
    after = restarted(bench)
    assert after.slices.reservation(held.id).state is SliceState.RESERVED
    after.now += 30
    assert after.slices.commit(held.id).state is SliceState.ACTIVE
    after.slices.delete(NAME)
    later = after.slices.reserve(request_for(NAME), 60.0)
    after.now += 61
    last = restarted(after)
    last.run_schedule()
    assert last.state() == start
    with pytest.raises(ReservationExpired):
        last.slices.commit(later.id)


def test_a_commit_that_fails_rolls_everything_back(bench: Bench) -> None:
    start = bench.state()
    held = bench.slices.reserve(request_for(NAME), 60.0)
    bench.switches.refuse = lambda site, changes: "full" if changes.add else None
    with pytest.raises(ProvisioningFailed, match="full"):
        bench.slices.commit(held.id)
    assert bench.state() == start


# --- feasibility --------------------------------------------------------------------------------------------------


def test_a_feasibility_job_answers_and_reserves_only_when_told(bench: Bench) -> None:
    start = bench.state()
    job = bench.slices.check_feasibility(request_for(NAME))
    assert (job.is_feasible, job.reservation, bench.slices.reservation_status(job)) == (
        True,
        None,
        ReservationStatus.UNRESERVED,
    )
    assert bench.state() == start
    refused = bench.slices.check_feasibility(request_for("cdn", TOO_WIDE), reserve=True)
    assert not refused.is_feasible
    assert refused.infeasible is not None
    assert refused.infeasible.nearest
    assert bench.state() == start
    held = bench.slices.check_feasibility(request_for(NAME), reserve=True, ttl_s=30)
    assert bench.slices.reservation_status(held) is ReservationStatus.RESERVED
    assert bench.slices.feasibility_jobs() == (job, refused, held)
    bench.slices.end_feasibility_job(held.id)
    assert bench.state() == start
    with pytest.raises(UnknownJob):
        bench.slices.feasibility_job(held.id)


def test_a_used_reservation_is_not_given_up_with_its_job(bench: Bench) -> None:
    job = bench.slices.check_feasibility(request_for(NAME), reserve=True)
    assert job.reservation is not None
    bench.slices.commit(job.reservation)
    assert bench.slices.reservation_status(job) is ReservationStatus.USED
    bench.slices.end_feasibility_job(job.id)
    assert bench.model.slice(NAME).state is SliceState.ACTIVE
    bench.now += 1000
    other = bench.slices.check_feasibility(request_for("cdn"), reserve=True, ttl_s=1)
    bench.now += 2
    assert bench.slices.reservation_status(other) is ReservationStatus.UNRESERVED


# --- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_is_made_whole(bench: Bench) -> None:
    made = bench.slices.create_batch([request_for(NAME), request_for("cdn")])
    assert [(r.name, r.state) for r in made] == [(NAME, SliceState.ACTIVE), ("cdn", SliceState.ACTIVE)]
    assert len(bench.store.load()) == 2


@pytest.mark.parametrize("second", [request_for("cdn", TOO_WIDE), request_for(NAME)])
def test_a_batch_of_which_one_does_not_fit_or_is_named_twice_makes_none(bench: Bench, second: SliceRequest) -> None:
    start = bench.state()
    with pytest.raises((InfeasibleRequest, DuplicateSlice)):
        bench.slices.create_batch([request_for(NAME), second])
    assert bench.state() == start


def test_a_batch_of_which_one_is_refused_on_its_way_leaves_none(bench: Bench) -> None:
    start = bench.state()
    bench.tunnels.fail = lambda op, site, which: (
        DriverError("dry") if op == "wait_up" and which.startswith("cdn") else None
    )
    with pytest.raises(ProvisioningFailed, match="dry"):
        bench.slices.create_batch([request_for(NAME), request_for("cdn")])
    assert bench.state() == start
    with pytest.raises(InvalidRequest, match=r"slices\.1\.start"):
        bench.slices.create_batch([request_for(NAME), replace(request_for("cdn"), start=at(bench, 60))])


# --- deletes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", CREATE_CHECKPOINTS[1:-1])
def test_a_delete_at_any_moment_of_a_creation_wins(bench: Bench, step: str) -> None:
    start = bench.state()

    def delete(reached: str) -> None:
        if reached == step:
            assert bench.slices.delete(NAME).state is SliceState.DELETED

    bench.at_checkpoint = delete
    with pytest.raises(Superseded, match="deleted while it was being created"):
        bench.slices.create(request_for(NAME))
    assert bench.state() == start


def test_a_creation_that_waits_for_a_key_is_let_go_by_a_delete(bench: Bench) -> None:
    """The agent answers after ten seconds only; neither the delete nor the creation waits for it."""
    waiting, answer = threading.Event(), threading.Event()

    def fail(op: str, site: str, connection_id: str) -> None:
        if op == "wait_up":
            waiting.set()
            answer.wait(10)

    bench.tunnels.fail = fail
    ended: list[Exception] = []

    def create() -> None:
        try:
            bench.slices.create(request_for(NAME))
        except Superseded as error:
            ended.append(error)

    creator = threading.Thread(target=create)
    creator.start()
    try:
        assert waiting.wait(5)
        bench.slices.delete(NAME)
        creator.join(5)
        assert [str(error) for error in ended] == ["deleted while it was being created"]
        assert not answer.is_set()
        assert NAME not in bench.model.slices
    finally:
        answer.set()
        creator.join()


@pytest.mark.parametrize("step", DELETE_CHECKPOINTS[:-1])
def test_what_is_being_deleted_cannot_be_deleted_again_and_is_gone_after_a_crash(bench: Bench, step: str) -> None:
    start = bench.state()
    bench.slices.create(request_for(NAME))

    def once(reached: str) -> None:
        if reached == step:
            with pytest.raises(SliceBusy, match="DELETING"):
                bench.slices.delete(NAME)
            raise KeyboardInterrupt

    bench.at_checkpoint = once
    with pytest.raises(KeyboardInterrupt):
        bench.slices.delete(NAME)
    assert restarted(bench).state() == start


def test_what_holds_nothing_can_be_deleted_too(bench: Bench) -> None:
    start = bench.state()
    bench.slices.create(replace(request_for(NAME), start=at(bench, 60)))
    bench.slices.reserve(request_for("cdn"))
    for name in (NAME, "cdn"):
        assert bench.slices.delete(name).state is SliceState.DELETED
    assert bench.state() == start


# --- the journal --------------------------------------------------------------------------------------------------


OPERATIONS: dict[str, Callable[[Bench], Any]] = {
    "create": lambda b: b.slices.create(request_for("cdn")),
    "schedule": lambda b: b.slices.create(replace(request_for("cdn"), start=b.now + 60)),
    "batch": lambda b: b.slices.create_batch([request_for("cdn"), request_for("cdn", name="other")]),
    "reserve": lambda b: b.slices.reserve(request_for("cdn")),
    "modify": lambda b: b.slices.modify(NAME, {"connections": {"access": {"bandwidth_mbps": 12}}}),
    "delete": lambda b: b.slices.delete(NAME),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_database_that_another_locks_refuses_everything_and_nothing_changes(bench: Bench, operation: str) -> None:
    bench.slices.create(request_for(NAME))
    bench.store._db.execute("PRAGMA busy_timeout = 10")
    before = bench.state()
    other = sqlite3.connect(bench.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        OPERATIONS[operation](bench)
    other.execute("ROLLBACK")
    other.close()
    assert bench.state() == before
    OPERATIONS[operation](bench)


@pytest.mark.parametrize("operation", ["create", "schedule", "batch", "reserve"])
def test_a_database_that_is_full_refuses_and_nothing_changes(bench: Bench, operation: str) -> None:
    bench.slices.create(request_for(NAME))
    (pages,) = bench.store._db.execute("PRAGMA page_count").fetchone()
    bench.store._db.execute(f"PRAGMA max_page_count = {pages}")
    with contextlib.suppress(StoreError):
        for n in range(1000):  # what is free within the pages there are goes first
            bench.slices.create(replace(request_for("cdn", name=f"fill-{n}"), start=at(bench, 60)))
    before = bench.state()
    with pytest.raises(StoreError, match="full"):
        OPERATIONS[operation](bench)
    assert bench.state() == before
    for name in [n for n in bench.model.slices if n.startswith("fill")]:
        bench.slices.delete(name)
    bench.store._db.execute(f"PRAGMA max_page_count = {10 * pages}")
    OPERATIONS[operation](bench)


def test_a_slice_that_cannot_be_struck_out_stays_deleting_until_it_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = bench.state()
    bench.slices.create(request_for(NAME))

    def full(*_: Any) -> None:
        raise DriverError("database or disk is full")

    monkeypatch.setattr(Store, "forget", full)
    with pytest.raises(DriverError, match="full"):
        bench.slices.delete(NAME)
    assert bench.model.slice(NAME).state is SliceState.DELETING
    bench.run_schedule()
    monkeypatch.undo()
    bench.run_schedule()
    assert bench.state() == start


def test_a_creation_that_cannot_be_journalled_as_done_is_rolled_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = bench.state()

    def fill_up(reached: str) -> None:
        def full(*_: Any) -> None:
            raise DriverError("database or disk is full")

        if reached == "create.8-tunnels-up":
            monkeypatch.setattr(Store, "save", full)

    bench.at_checkpoint = fill_up
    with pytest.raises(ProvisioningFailed, match="full"):
        bench.slices.create(request_for(NAME))
    monkeypatch.undo()
    assert bench.state() == start


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_fault_30_a_reservation_lasts_as_long_as_promised_whatever_the_clock_is_set_to(
    bench: Bench, step_s: float
) -> None:
    held = bench.slices.reserve(request_for(NAME), 30.0)
    bench.set_forth_s = step_s
    bench.now += 29.0
    bench.run_schedule()
    assert bench.slices.reservation(held.id).reservation == held.id
    bench.now += 2.0
    bench.run_schedule()
    with pytest.raises(ReservationExpired):
        bench.slices.reservation(held.id)


def test_fault_30_a_reservation_of_an_earlier_process_whose_clock_was_ahead_does_not_last_for_ever(
    bench: Bench,
) -> None:
    bench.set_forth_s = 10 * 86_400.0
    bench.slices.reserve(request_for(NAME), 30.0)
    after = bench.next_process()
    after.maintenance.load()
    after.run_schedule()
    assert NAME in after.model.slices
    after.now += MAX_RESERVATION_S
    after.run_schedule()
    assert NAME not in after.model.slices
