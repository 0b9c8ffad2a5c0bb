"""When a slice that comes again is there: days by a zone's clock, hours exactly (RFC 5545)."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.recurrence import DAY_S, Occurrence, Period, Recurrence

LONDON = "Europe/London"
ZONES = ("UTC", LONDON, "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def daily(start: str, zone: str = LONDON, hours: float = 1, days: int = 1, **more: float | int) -> Recurrence:
    return Recurrence(seconds(start), hours * 3600, Period(days=days), ZoneInfo(zone), zone, **more)  # type: ignore[arg-type]


def starts(recurrence: Recurrence, how_many: int) -> list[str]:
    """The first starts, by the clock of the recurrence's zone."""
    found: list[Occurrence] = []
    while len(found) < how_many:
        following = recurrence.next(0, after=len(found))
        assert following is not None
        found.append(following)
    return [datetime.fromtimestamp(o.start, recurrence.zone).isoformat() for o in found]


def test_a_daily_backup_stays_at_its_time_of_day_over_summer_time() -> None:
    assert starts(daily("2030-03-29T22:00:00+00:00"), 4) == [
        "2030-03-29T22:00:00+00:00", "2030-03-30T22:00:00+00:00",
        "2030-03-31T22:00:00+01:00", "2030-04-01T22:00:00+01:00",
    ]  # fmt: skip


def test_hours_are_exact_over_summer_time() -> None:
    recurrence = Recurrence(seconds("2030-03-30T22:00:00Z"), 60, Period(seconds=DAY_S), ZoneInfo(LONDON), LONDON)
    assert starts(recurrence, 2) == ["2030-03-30T22:00:00+00:00", "2030-03-31T23:00:00+01:00"]


def test_a_time_that_the_clock_skips_is_read_by_the_offset_before_the_gap() -> None:
    # RFC 5545, 3.3.5: 01:30 on 31 March does not exist in London; by the offset before it is 01:30 UTC.
    assert starts(daily("2030-03-30T01:30:00+00:00"), 3) == [
        "2030-03-30T01:30:00+00:00", "2030-03-31T02:30:00+01:00", "2030-04-01T01:30:00+01:00",
    ]  # fmt: skip


def test_a_time_that_comes_twice_is_the_first_of_the_two_unless_the_first_occurrence_is_the_second() -> None:
    assert starts(daily("2030-10-26T01:30:00+01:00"), 2)[1] == "2030-10-27T01:30:00+01:00"
    assert starts(daily("2030-10-27T01:30:00+00:00"), 2) == ["2030-10-27T01:30:00+00:00", "2030-10-28T01:30:00+00:00"]


def test_an_occurrence_lasts_as_long_as_the_first_whatever_the_clock_does_meanwhile() -> None:
    second = daily("2030-03-30T00:30:00+00:00", hours=2).next(0, after=1)
    assert second is not None
    assert second.end - second.start == 7200


def test_until_is_the_last_moment_at_which_one_may_begin_and_count_is_how_many_there_are() -> None:
    start = "2030-01-01T22:00:00+00:00"
    until = daily(start, until=seconds("2030-01-03T22:00:00+00:00"))
    for recurrence in (until, daily(start, count=3)):
        last = recurrence.next(0, after=2)
        assert last is not None
        assert recurrence.next(0, after=3) is None
        assert recurrence.next(last.end - 1) == last
        assert recurrence.next(last.end) is None


def test_beyond_the_calendar_there_is_none() -> None:
    assert daily("9990-01-01T22:00:00+00:00", days=99_999).next(0, after=1) is None


recurrences = st.builds(
    lambda start, share, every, zone, limits: Recurrence(
        float(start), max(1.0, share * every.nominal_s), every, ZoneInfo(zone), zone, **limits
    ),
    st.integers(1_300_000_000, 2_000_000_000),
    st.floats(0.01, 0.9),
    st.builds(Period, days=st.integers(1, 40)) | st.builds(Period, seconds=st.integers(5, 3 * DAY_S)),
    st.sampled_from(ZONES),
    st.just({}) | st.fixed_dictionaries({"count": st.integers(1, 60)})
    | st.fixed_dictionaries({"until": st.integers(1_300_000_000, 2_100_000_000).map(float)}),
)  # fmt: skip


@settings(max_examples=200)
@given(recurrences, st.floats(-0.5, 70), st.integers(0, 70))
def test_what_comes_next_is_the_first_of_all_that_is_not_over(
    recurrence: Recurrence, periods: float, after: int
) -> None:
    """Against every occurrence, one after the other."""
    now = recurrence.start + periods * recurrence.every.nominal_s
    every = [recurrence._occurrence(number) for number in range(1, 150)]
    there = [o for o in every if o is not None]
    expected = next((o for o in there if o.number > after and o.end > now), None)
    assert recurrence.next(now, after) == expected
    assert all(a.start <= b.start for a, b in pairwise(there))


@pytest.mark.parametrize("zone", ZONES)
def test_a_first_occurrence_is_what_it_was_given_as(zone: str) -> None:
    for hour in range(48):
        start = seconds("2030-10-26T00:00:00+00:00") + hour * 3600
        recurrence = Recurrence(start, 60, Period(days=1), ZoneInfo(zone), zone)
        assert recurrence.next(0) == Occurrence(1, start, start + 60)
