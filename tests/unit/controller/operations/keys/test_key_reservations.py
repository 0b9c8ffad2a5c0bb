"""Key rates that slices hold are booked at the KMS, released with them, and put right whoever was restarted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.errors import DriverError, NotSupported
from controller.model.events import BookingShort
from controller.model.key_rates import KeyBooking
from controller.operations.keys.key_reservations import RETRY_S, differences, wanted_bookings
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(metro_ring(), tmp_path / "db")
    made.slices.create(request_for("enterprise-app", cells=["cell1"]))
    made.maintenance.poll_keys()
    return made


def booked(bench: Bench) -> list[KeyBooking]:
    return sorted(bench.key_rates.booked.values(), key=str)


BACKHAUL = KeyBooking("core1", "metro1", "qkd", 86, 0)  # 256 bits every 3 s


def test_what_a_slice_holds_is_booked_and_given_back(bench: Bench) -> None:
    assert booked(bench) == [BACKHAUL]
    bench.slices.delete("enterprise-app")
    bench.maintenance.poll_keys()
    assert booked(bench) == []


def test_two_slices_between_the_same_sites_are_one_booking(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"priority": 7}}, name="second", cells=["cell1"]))
    bench.maintenance.poll_keys()
    assert booked(bench) == [replace(BACKHAUL, rate_bps=172, priority=7)]
    bench.slices.delete("second")
    bench.maintenance.poll_keys()
    assert booked(bench) == [BACKHAUL]


def test_what_is_right_is_left_alone(bench: Bench) -> None:
    asked = bench.key_rates.asked
    for _ in range(5):
        bench.maintenance.poll_keys()
    assert bench.key_rates.asked == asked


def test_a_kms_that_has_forgotten_is_told_again(bench: Bench) -> None:
    bench.key_rates.booked.clear()
    bench.maintenance.poll_keys()
    assert booked(bench) == [BACKHAUL]


def test_the_next_process_takes_over_what_is_booked_and_gives_back_what_is_nobodys(bench: Bench) -> None:
    after = bench.next_process()
    nobodys = KeyBooking("agg1", "core1", "qkd", 500, 1)
    after.key_rates.booked = {b.id: b for b in (BACKHAUL, nobodys)}
    after.maintenance.load()
    after.maintenance.poll_keys()
    assert booked(after) == [BACKHAUL]
    assert after.key_rates.asked == 0


def test_a_section_that_stops_gives_the_rate_back_where_no_other_has_it(bench: Bench) -> None:
    around_core1 = frozenset({"q-metro1-core1", "q-metro2-core1", "q-core1-core2"})
    bench.key_rates.unusable = around_core1
    for _ in range(2):
        bench.maintenance.poll_keys()
    assert booked(bench) == []
    bench.key_rates.unusable = frozenset()
    for _ in range(3):
        bench.maintenance.poll_keys()
    assert booked(bench) == [BACKHAUL]


def test_what_the_kms_cannot_promise_in_full_is_booked_as_far_as_it_can_and_asked_for_again_later(bench: Bench) -> None:
    bench.slices.delete("enterprise-app")
    bench.maintenance.poll_keys()
    bench.key_rates.most_bps = 50
    follower = bench.events.follow(0)
    bench.slices.create(request_for("enterprise-app", cells=["cell1"]))
    bench.maintenance.poll_keys()
    assert booked(bench) == [replace(BACKHAUL, rate_bps=50)]
    asked = bench.key_rates.asked
    bench.maintenance.poll_keys()
    assert bench.key_rates.asked == asked
    bench.now += RETRY_S + 1
    bench.maintenance.poll_keys()
    told = []
    while (event := follower.next(0)) is not None:
        if isinstance(event.what, BookingShort):
            told.append((event.what.wanted_bps, event.what.promised_bps))
    assert told == [(86, 50)]
    bench.key_rates.most_bps = 1_000
    bench.now += RETRY_S + 1
    bench.maintenance.poll_keys()
    assert booked(bench) == [BACKHAUL]


@pytest.mark.parametrize("error", [NotSupported("old"), DriverError("gone")])
def test_a_kms_that_cannot_book_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: DriverError
) -> None:
    def fail() -> dict[str, KeyBooking]:
        raise error

    monkeypatch.setattr(bench.key_rates, "bookings", fail)
    state = bench.state()
    bench.maintenance.poll_keys()
    assert bench.state() == state


def test_what_is_given_back_comes_before_what_is_booked() -> None:
    old, new = KeyBooking("a", "b", "qkd", 5, 1), KeyBooking("c", "d", "qkd", 5, 1)
    assert list(differences({old.id: old}, {new.id: new})) == [(old, None), (None, new)]
    assert list(differences({old.id: old}, {old.id: old})) == []
    assert old.id == replace(old, rate_bps=9).id != new.id


def test_fault_10_an_error_of_one_booking_concerns_that_booking(bench: Bench) -> None:
    first, nobodys = KeyBooking("agg1", "agg2", "qkd", 5, 0), KeyBooking("agg1", "core1", "qkd", 500, 1)
    bench.key_rates.booked = {b.id: b for b in (first, nobodys)}
    bench.key_rates.failing = {first.id}
    bench.maintenance.poll_keys()
    assert booked(bench) == sorted([BACKHAUL, first], key=str)
    # It is tried again, not at every look, and goes through once the KMS takes it.
    bench.key_rates.failing = set()
    bench.maintenance.poll_keys()
    assert first in booked(bench)
    bench.now += RETRY_S + 1
    bench.maintenance.poll_keys()
    assert booked(bench) == [BACKHAUL]


def test_fault_10_what_the_kms_will_not_book_leaves_the_rest_of_the_slices_their_bookings(bench: Bench) -> None:
    bench.key_rates.booked.clear()
    bench.slices.create(
        request_for("enterprise-app", {"access": {"security": "qkd"}}, name="second", cells=["cell1"])
    )  # fmt: skip
    wanted = {b.id for b in wanted_bookings(bench.model).values()}
    assert len(wanted) > 1
    for refused in wanted:
        bench.key_rates.booked.clear()
        bench.key_rates.failing = {refused}
        bench.now += RETRY_S + 1
        bench.maintenance.poll_keys()
        assert {b.id for b in booked(bench)} == wanted - {refused}
