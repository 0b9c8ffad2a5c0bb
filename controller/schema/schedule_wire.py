"""Moments and recurring schedules on the wire; words and durations as in RFC 5545 and ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationInfo, field_validator

from controller.model.recurrence import Period, Recurrence
from controller.schema.connection_wire import Wire

UTC_NAME = "UTC"
LEAST_PERIOD_S = 5
MOST_OCCURRENCES = 1_000_000
# Of RFC 5545, 3.3.6, what one period of days, or of time, can be.
_TIME = "T(?:[0-9]{1,7}H(?:[0-9]{1,7}M)?(?:[0-9]{1,7}S)?|[0-9]{1,7}M(?:[0-9]{1,7}S)?|[0-9]{1,7}S)"
DURATION = f"^P(?:[0-9]{{1,5}}W|[0-9]{{1,5}}D|{_TIME})$"
_PARTS = re.compile(r"([0-9]+)([WDHMS])")
_DAYS = {"W": 7, "D": 1}
_SECONDS = {"H": 3600, "M": 60, "S": 1}


def _written_out(value: Any) -> Any:
    if not isinstance(value, str) or "T" not in value.upper():
        raise ValueError("a time is written as in ISO 8601, e.g. 2030-01-31T22:00:00Z")
    return value


def _in_this_era(moment: datetime) -> datetime:
    if not 1970 < moment.year < 9999:
        raise ValueError("a year from 1971 to 9998 is needed")
    return moment


# ISO 8601 with an offset: a time without one would mean another moment on another machine.
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_this_era)]


def written_moment(at: float) -> str:
    """As a request has it, of seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).isoformat()


class ScheduleWire(Wire):
    """A slice that comes again: from `start` to `stop`, and then every so often.

    Days and weeks (`P1D`, `P2W`) go by the clock of `time_zone`, over summer time; hours, minutes and seconds (`PT12H`)
    are exact. The slice is there without end, or `until` a moment, or `count` times.
    """

    start: Moment
    stop: Moment
    every: str = Field(pattern=DURATION)
    time_zone: str = Field(default=UTC_NAME, max_length=64)
    until: Moment | None = None
    count: int | None = Field(default=None, ge=1, le=MOST_OCCURRENCES, strict=True)

    @field_validator("stop")
    @classmethod
    def _stop_after_start(cls, stop: datetime, info: ValidationInfo) -> datetime:
        start = info.data.get("start")
        if start is not None and stop <= start:
            raise ValueError("stop is not after start")
        return stop

    @field_validator("every")
    @classmethod
    def _every_fits(cls, every: str, info: ValidationInfo) -> str:
        period_s = period_of(every).nominal_s
        if period_s < LEAST_PERIOD_S:
            raise ValueError(f"at least PT{LEAST_PERIOD_S}S is needed")
        start, stop = info.data.get("start"), info.data.get("stop")
        if start is not None and stop is not None and (stop - start).total_seconds() >= period_s:
            raise ValueError("one occurrence would last until the next begins; shorten it, or let the slice stand")
        return every

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, name: str) -> str:
        zone_of(name)
        return name

    @field_validator("until")
    @classmethod
    def _until_after_start(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        start = info.data.get("start")
        if until is not None and start is not None and until < start:
            raise ValueError("until is before start")
        return until

    @field_validator("count")
    @classmethod
    def _one_of_both(cls, count: int | None, info: ValidationInfo) -> int | None:
        if count is not None and info.data.get("until") is not None:
            raise ValueError("until and count say the same in two ways; give one of them")
        return count

    def to_recurrence(self) -> Recurrence:
        start, until = self.start.timestamp(), self.until
        return Recurrence(
            start=start,
            lasts_s=self.stop.timestamp() - start,
            every=period_of(self.every),
            zone=zone_of(self.time_zone),
            zone_name=self.time_zone,
            until=None if until is None else until.timestamp(),
            count=self.count,
        )


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name such as ``Europe/London``. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("there is no such time zone; Europe/London is one") from None


def period_of(text: str) -> Period:
    """Of a duration that :data:`DURATION` matches."""
    parts = [(int(number), unit) for number, unit in _PARTS.findall(text)]
    days = sum(number * _DAYS.get(unit, 0) for number, unit in parts)
    return Period(days, sum(number * _SECONDS.get(unit, 0) for number, unit in parts))


def schedule_to_dict(recurrence: Recurrence) -> dict[str, Any]:
    """As it would stand in a request."""
    every = recurrence.every
    return {
        "start": written_moment(recurrence.start),
        "stop": written_moment(recurrence.start + recurrence.lasts_s),
        "every": f"P{every.days}D" if every.days else f"PT{every.seconds}S",
        "time_zone": recurrence.zone_name,
        **({} if recurrence.until is None else {"until": written_moment(recurrence.until)}),
        **({} if recurrence.count is None else {"count": recurrence.count}),
    }
