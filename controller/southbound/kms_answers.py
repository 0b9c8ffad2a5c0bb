"""What the KMS answers, parsed once and entry by entry: what is odd about one section concerns that section alone."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.model.key_rates import Holder, KeyBooking, KeyPool, SectionStatus

log = logging.getLogger(__name__)

USABLE_STATES = frozenset({"active"})
STARTING_STATE, RESTARTING_STATE = "starting", "restarting"
_MOST_BPS = 1e15
_MOST_DIGITS = 40  # of a whole number; one that has more is infinite to us
T = TypeVar("T")
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Rate = Annotated[float, Field(ge=0.0, le=_MOST_BPS, allow_inf_nan=False)]


class Unreadable(ValueError):
    """An answer that is none."""


class _Answer(BaseModel):
    """Of a later version there may be more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Named(_Answer):
    id: _Name


class _Section(_Named):
    skr_bps: _Rate | None = None
    state: _Name
    qber: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = None
    secure: bool | None = None


class _Pool(_Answer):
    a: _Name
    b: _Name
    source: _Name
    stored: Annotated[int, Field(ge=0, le=10**12)]


class _Reservation(_Answer):
    app_id: _Name
    server_app_id: _Name
    client_app_id: Annotated[list[_Name], Field(min_length=1)]
    key_source: _Name
    min_bandwidth: _Rate
    app_priority: Annotated[int, Field(ge=0, le=255)]


class _Offer(_Answer):
    min_bandwidth: _Rate


def decode(text: bytes) -> dict[str, Any]:
    """A JSON object. Raises Unreadable."""
    try:
        found = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise Unreadable("the answer is no JSON object")
    return found


def sections(answer: Mapping[str, Any]) -> tuple[SectionStatus, ...]:
    """One whose rate, error rate or state is not what it should be counts as unusable.

    Raises Unreadable, also where not one of them has a name.
    """
    found = tuple(_each(answer, "sections", _section))
    if not found and answer["sections"]:
        raise Unreadable("sections without names")
    return found


def pools(answer: Mapping[str, Any]) -> dict[KeyPool, int]:
    """How many keys each pool has ready; what cannot be read is left out. Raises Unreadable."""
    return dict(_each(answer, "pools", _pool))


def bookings(answer: Mapping[str, Any], owner: str, priority_of_zero: int) -> dict[str, KeyBooking]:
    """The owner's reservations by id; one that cannot be read is left alone. Raises Unreadable."""

    def booking(raw: Any) -> tuple[str, KeyBooking]:
        found = _Reservation.model_validate(raw)
        (holder, a), (_, b) = (Holder.of(sae) for sae in (found.server_app_id, found.client_app_id[0]))
        rate, priority = int(found.min_bandwidth), found.app_priority - priority_of_zero
        return found.app_id, KeyBooking(a, b, found.key_source, rate, priority, holder)

    def is_ours(raw: Any) -> bool:
        return isinstance(raw, dict) and raw.get("owner") == owner

    return dict(_each(answer, "reservations", booking, is_ours))


def offer_bps(offer: Any) -> int:
    """The rate that a refusal offers, in bit/s. Raises Unreadable."""
    try:
        return int(_Offer.model_validate(offer).min_bandwidth)
    except ValidationError as error:
        raise Unreadable(f"a refusal offers no rate: {_first(error)}") from None


def _section(raw: Any) -> SectionStatus:
    name = _Named.model_validate(raw).id
    try:
        found = _Section.model_validate(raw)
    except ValidationError as error:
        log.debug("KMS: section %s: %s", name, _first(error))
        return SectionStatus(name, 0, False, None)
    if found.state == STARTING_STATE:
        return SectionStatus(name, 0, False, None, is_known=False, is_secure=found.secure)
    if found.skr_bps is None:
        log.debug("KMS: section %s: no rate", name)
        return SectionStatus(name, 0, False, None)
    is_usable = found.state in USABLE_STATES
    return SectionStatus(
        name, int(found.skr_bps * 1000), is_usable, found.qber, is_secure=found.secure,
        is_restarting=found.state == RESTARTING_STATE,
    )  # fmt: skip


def _pool(raw: Any) -> tuple[KeyPool, int]:
    found = _Pool.model_validate(raw)
    a, b = sorted((found.a, found.b))
    return KeyPool(a, b, found.source), found.stored


def _each(
    answer: Mapping[str, Any],
    member: str,
    parse: Callable[[Any], T],
    is_meant: Callable[[Any], bool] = lambda raw: True,
) -> list[T]:
    """The entries of a list that are meant and can be read."""
    listed = answer.get(member)
    if not isinstance(listed, list):
        raise Unreadable(f"not a list of {member}")
    found = []
    for raw in filter(is_meant, listed):
        try:
            found.append(parse(raw))
        except ValidationError as error:
            log.debug("KMS: one of the %s cannot be read: %s", member, _first(error))
    return found


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf
