"""What the API takes beside a slice request: batches, reservations, feasibility jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.model.request import SliceRequest
from controller.operations.slices.reservations import DEFAULT_RESERVATION_S, MAX_RESERVATION_S
from controller.schema.slice_request import InvalidRequest, parse_slice_request
from controller.schema.terms import Terms

MAX_BATCH = 64

Lifetime = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=MAX_RESERVATION_S)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _BatchBody(_Body):
    slices: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH)]


class _ReservationBody(_Body):
    slice: Any
    expires_in_s: Lifetime = DEFAULT_RESERVATION_S


class _FeasibilityBody(_ReservationBody):
    reserve: Annotated[bool, Field(strict=True)] = False


@dataclass(frozen=True)
class Question:
    """Whether a slice fits, and whether it is to be held if it does, for how long."""

    request: SliceRequest
    reserve: bool
    expires_in_s: float


def parse_slice(raw: Any, terms: Terms) -> SliceRequest:
    """A slice request whose sites and channels exist and whose suites are allowed. Raises InvalidRequest."""
    return terms.accept(parse_slice_request(raw))


def parse_batch(raw: Any, terms: Terms) -> tuple[SliceRequest, ...]:
    """The slices of a batch, each of another name. Raises InvalidRequest."""
    body = _validated(_BatchBody, raw)
    requests = tuple(_within(f"slices.{i}", parse_slice, each, terms) for i, each in enumerate(body.slices))
    names = [request.name for request in requests]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InvalidRequest(((f"slices.{i}.name", f"is that of slices.{names.index(name)} too"),))
    return requests


def parse_reservation(raw: Any, terms: Terms) -> Question:
    """Raises InvalidRequest."""
    body = _validated(_ReservationBody, raw)
    return Question(_within("slice", parse_slice, body.slice, terms), True, body.expires_in_s)


def parse_feasibility(raw: Any, terms: Terms) -> Question:
    """Raises InvalidRequest."""
    body = _validated(_FeasibilityBody, raw)
    return Question(_within("slice", parse_slice, body.slice, terms), body.reserve, body.expires_in_s)


_Some = TypeVar("_Some", bound=_Body)


def _validated(kind: type[_Some], raw: Any) -> _Some:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest.of(error) from None


def _within(prefix: str, parse: Callable[[Any, Terms], SliceRequest], raw: Any, terms: Terms) -> SliceRequest:
    """Parse a part; what is wrong with it is told by its path in the whole."""
    try:
        return parse(raw, terms)
    except InvalidRequest as error:
        problems = ((prefix if p == "request" else f"{prefix}.{p}", what) for p, what in error.problems)
        raise InvalidRequest(tuple(problems)) from None
