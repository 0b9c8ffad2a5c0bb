"""What a controller refused, as what a command ends with."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NoReturn

from scripts.errors import CommandError, DidNotHold, EnvironmentLacks, WrongRequest

# By the problem's code; its reasons follow, in the units of the request.
NOT_FEASIBLE = {
    "infeasible": "no feasible path",
    "key_rate_lacking": "no feasible path: QKD sections give too little key",
}
# The controller counts in whole numbers of small units; a request is written in these.
REQUEST_UNITS = {"kbit/s": ("Mbit/s", 1000), "us": ("ms", 1000)}
_NO_TOKEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_WRONG = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def raise_problem(status: int, problem: Any) -> NoReturn:
    """Raise what an RFC 9457 problem document says, as the exit status that contracts.md gives it."""
    if not isinstance(problem, dict):
        raise DidNotHold(f"the controller answered {status}: {problem}")
    detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
    reasons = [_reason_line(reason) for reason in problem.get("reasons", [])]
    headline = NOT_FEASIBLE.get(str(problem.get("code")))
    lines = [headline or detail, *reasons]
    lines += [f"  would fit: {fit.get('description') or fit}" for fit in problem.get("nearest", [])]
    if status in _NO_TOKEN:
        raise EnvironmentLacks(f"{detail} (the token is taken from QSLICE_TOKEN or QSLICE_TOKEN_FILE)", problem)
    wrong = status in _WRONG or (status == HTTPStatus.UNPROCESSABLE_ENTITY and headline is None)
    error: type[CommandError] = WrongRequest if wrong else DidNotHold
    raise error("\n".join(lines), problem)


def _reason_line(reason: dict[str, Any]) -> str:
    unit = reason.get("unit")
    needed, available = (_quantity(reason.get(name), unit) for name in ("needed", "available"))
    connection, constraint, where = (reason.get(name) for name in ("connection", "constraint", "where"))
    more = "" if reason.get("detail") is None else f" ({reason['detail']})"
    return f"  {connection}: {constraint} at {where}: needs {needed}, there is {available}{more}"


def _quantity(value: Any, unit: str | None) -> str:
    """A value as a person reads it: in the units of the request where the controller counts in smaller ones."""
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float) or unit is None:
        return str(value)
    name, size = REQUEST_UNITS.get(unit, (unit, 1))
    return f"{value / size:.10g} {name}"
