"""The slice request on the wire: parsed once, unknown fields refused, the offending field named by its path.

Field names follow 3GPP TS 28.541 where it has one (``sNSSAI``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from controller.model.errors import ControllerError
from controller.model.request import AnyShape, ComputeRequest, Role, SliceRequest, SNssai, ThreeRoles
from controller.schema.connection_wire import (
    MAX_MEMORY_GB,
    MAX_VCPUS,
    NAME,
    ConnectionWire,
    NamedConnectionWire,
    SiteName,
    Wire,
    distinct,
    named_to_dict,
    spec_to_dict,
)
from controller.schema.schedule_wire import Moment, ScheduleWire, schedule_to_dict, written_moment

MAX_CELLS = 64
MAX_LISTED = 128
AUTO = "auto"


class InvalidRequest(ControllerError):
    """A request that says something impossible; ``problems`` are (path of the field, what is wrong with it)."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{path}: {what}" for path, what in problems))
        self.problems = problems

    @classmethod
    def of(cls, error: ValidationError) -> InvalidRequest:
        """What pydantic found wrong, without what was said."""
        return cls(tuple(_problem(e) for e in error.errors(include_url=False)))


class SNssaiWire(Wire):
    """S-NSSAI: slice/service type and, optionally, slice differentiator (3GPP TS 23.003, clause 28.4.2)."""

    sst: int = Field(ge=0, le=255, strict=True)
    sd: str | None = Field(default=None, pattern=r"^[0-9A-Fa-f]{6}$")


class ComputeWire(Wire):
    """Where the application runs; ``auto`` lets the orchestrator choose."""

    site: SiteName = AUTO
    vcpus: int = Field(ge=0, le=MAX_VCPUS, strict=True)
    memory_gb: int = Field(ge=0, le=MAX_MEMORY_GB, strict=True)


class ConnectionsWire(Wire):
    """The three connections of papers 001 and 002: cell - core, cell - compute, compute - core."""

    control: ConnectionWire
    access: ConnectionWire
    backhaul: ConnectionWire


class _AnySlice(Wire):
    name: str = Field(pattern=NAME)
    sNSSAI: SNssaiWire
    start: Moment | None = None
    end: Moment | None = None
    schedule: ScheduleWire | None = None

    @field_validator("end")
    @classmethod
    def _end_after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        start = info.data.get("start")
        if end is not None and start is not None and end <= start:
            raise ValueError("end is not after start")
        return end

    @field_validator("schedule")
    @classmethod
    def _says_all(cls, schedule: ScheduleWire | None, info: ValidationInfo) -> ScheduleWire | None:
        beside = [field for field in ("start", "end") if info.data.get(field) is not None]
        if schedule is not None and beside:
            raise ValueError(f"says when the slice is there; {' and '.join(beside)} beside it cannot stand")
        return schedule


class SliceWire(_AnySlice):
    """The template of papers 001 and 002, where ``connections`` is an object.

    Every cell gets a ``control`` connection to the core and an ``access`` connection to the compute site; one
    ``backhaul`` joins that with the core.
    """

    cells: Annotated[list[SiteName], Field(min_length=1, max_length=MAX_CELLS), AfterValidator(distinct)]
    compute: ComputeWire
    core: SiteName
    connections: ConnectionsWire

    @model_validator(mode="after")
    def _ends_differ(self) -> SliceWire:
        if self.core in self.cells:
            raise ValueError(f"{self.core} is both a cell and the core of the slice")
        if self.compute.site in (*self.cells, self.core):
            raise ValueError(f"compute.site {self.compute.site} must differ from the slice's cells and core")
        return self

    def to_shape(self) -> ThreeRoles:
        site = None if self.compute.site == AUTO else self.compute.site
        by_role = {role: getattr(self.connections, role.value).to_spec() for role in Role}
        compute = ComputeRequest(site, self.compute.vcpus, self.compute.memory_gb)
        return ThreeRoles(tuple(self.cells), compute, self.core, by_role)


class ListedSliceWire(_AnySlice):
    """A slice of any shape, where ``connections`` is a list: each has a name of its own and joins any two sites."""

    connections: Annotated[list[NamedConnectionWire], Field(min_length=1, max_length=MAX_LISTED)]

    @field_validator("connections")
    @classmethod
    def _names_differ(cls, connections: list[NamedConnectionWire]) -> list[NamedConnectionWire]:
        distinct([c.name for c in connections])
        return connections

    def to_shape(self) -> AnyShape:
        return AnyShape(tuple(c.to_named() for c in self.connections))


def parse_slice_request(raw: Any) -> SliceRequest:
    """The request in plain values (from JSON or YAML) as the model knows it. Raises InvalidRequest."""
    connections = raw.get("connections") if isinstance(raw, Mapping) else None
    try:
        wire = (ListedSliceWire if isinstance(connections, list) else SliceWire).model_validate(raw)
    except ValidationError as error:
        invalid = InvalidRequest.of(error)
        raise _by_their_names(invalid, connections) if isinstance(connections, list) else invalid from None
    return SliceRequest(
        name=wire.name,
        snssai=SNssai(wire.sNSSAI.sst, wire.sNSSAI.sd),
        shape=wire.to_shape(),
        start=None if wire.start is None else wire.start.timestamp(),
        end=None if wire.end is None else wire.end.timestamp(),
        recurrence=None if wire.schedule is None else wire.schedule.to_recurrence(),
    )


def _by_their_names(invalid: InvalidRequest, connections: list[Any]) -> InvalidRequest:
    """The problems with listed connections told by their names, where they have some, in place of their positions."""
    names = {
        str(position): listed["name"]
        for position, listed in enumerate(connections)
        if isinstance(listed, Mapping) and isinstance(listed.get("name"), str) and re.fullmatch(NAME, listed["name"])
    }

    def named(path: str) -> str:
        first, dot, rest = path.removeprefix("connections.").partition(".")
        return f"connections.{names.get(first, first)}{dot}{rest}" if path.startswith("connections.") else path

    return InvalidRequest(tuple((named(path), what) for path, what in invalid.problems))


FIXED = ("name", "cells", "core")
FIXED_AT_WORK = ("start", "schedule")


def patch_slice_request(request: SliceRequest, patch: Any, *, has_begun: bool = True) -> SliceRequest:
    """The request changed by a JSON merge patch (RFC 7396). Raises InvalidRequest.

    What makes a slice this slice (its name, its cells and its core) cannot be changed, nor, once it ``has_begun``, when
    that is. Listed connections are changed all at once by a list, or by an object with the names of those to change:
    null takes one away, a new name adds one.
    """
    if not isinstance(patch, Mapping):
        raise InvalidRequest((("request", "a merge patch is an object"),))
    before = slice_request_to_dict(request)
    fixed = [f for f in FIXED if f in patch and patch[f] != before.get(f)]
    if fixed:
        raise InvalidRequest(tuple((f, "cannot be changed; make another slice") for f in fixed))
    if has_begun and (fixed := [f for f in FIXED_AT_WORK if _merged(before, patch).get(f) != before.get(f)]):
        raise InvalidRequest(tuple((f, "cannot be changed while the slice is there") for f in fixed))
    if isinstance(request.shape, AnyShape):
        return parse_slice_request(_merged_by_name(before, patch))
    if isinstance(patch.get("connections"), list):
        raise InvalidRequest((("connections", "cannot become a list; make another slice"),))
    return parse_slice_request(_merged(before, patch))


def _merged_by_name(before: dict[str, Any], patch: Mapping[str, Any]) -> Any:
    """As :func:`_merged`, listed connections by their names if the patch has an object for them."""
    asked = patch.get("connections", [])
    if not isinstance(asked, Mapping | list):
        raise InvalidRequest((("connections", "a list, or an object with names, is needed"),))
    if isinstance(asked, list):
        return _merged(before, patch)
    by_name = {listed.pop("name"): listed for listed in map(dict, before["connections"])}
    merged = _merged({**before, "connections": by_name}, patch)
    wrong = [name for name, listed in merged["connections"].items() if not isinstance(listed, Mapping)]
    if wrong:
        raise InvalidRequest(tuple((f"connections.{name}", "an object is needed") for name in wrong))
    return {**merged, "connections": [{"name": name, **listed} for name, listed in merged["connections"].items()]}


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def slice_request_to_dict(request: SliceRequest) -> dict[str, Any]:
    """The request as it would stand in a file; :func:`parse_slice_request` is its inverse."""
    return {
        "name": request.name,
        "sNSSAI": {"sst": request.snssai.sst} | ({} if request.snssai.sd is None else {"sd": request.snssai.sd}),
        **_shape_to_dict(request.shape),
        **({} if request.start is None else {"start": written_moment(request.start)}),
        **({} if request.end is None else {"end": written_moment(request.end)}),
        **({} if request.recurrence is None else {"schedule": schedule_to_dict(request.recurrence)}),
    }


def _shape_to_dict(shape: ThreeRoles | AnyShape) -> dict[str, Any]:
    if isinstance(shape, AnyShape):
        return {"connections": [named_to_dict(named) for named in shape.listed]}
    compute = shape.compute
    return {
        "cells": list(shape.cells),
        "compute": {"site": compute.site or AUTO, "vcpus": compute.vcpus, "memory_gb": compute.memory_gb},
        "core": shape.core,
        "connections": {key: spec_to_dict(spec) for key, spec in shape.specs.items()},
    }


def _problem(error: Any) -> tuple[str, str]:
    path = ".".join(str(part) for part in error["loc"]) or "request"
    what = "unknown field" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return path, what
