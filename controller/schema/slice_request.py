"""The slice request on the wire: parsed once, unknown fields refused, the offending field named by its path.

Field names follow 3GPP TS 28.541 where it has one (``sNSSAI``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from controller.model.errors import ControllerError
from controller.model.request import (
    DEFAULT_REKEY_S,
    ComputeRequest,
    ConnectionSpec,
    Match,
    Protection,
    Role,
    SecurityRequirement,
    SliceRequest,
    SNssai,
)
from controller.model.tunnel_profile import (
    CONSTANT_RATE,
    DEFAULT_SUITE,
    NO_PADDING,
    PaddingName,
    SuiteName,
    bandwidths_mbps,
    hides,
)
from topologies.spec import SITE_NAME, SecurityClass

MAX_BANDWIDTH_MBPS = 1_000_000.0  # a terabit per second
MAX_LATENCY_MS = 10_000.0
MAX_REKEY_S = 86_400.0
MIN_REKEY_S = 0.1
MAX_REVERT_S = 86_400.0
MAX_CELLS = 64
AUTO = "auto"

SecurityName = Literal["none", "dh", "qra", "qkd"]
SiteName = Annotated[str, Field(pattern=f"^{SITE_NAME.pattern}$")]
ChannelName = Annotated[str, Field(min_length=1, max_length=64)]


class InvalidRequest(ControllerError):
    """A request that says something impossible; ``problems`` are (path of the field, what is wrong with it)."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{path}: {what}" for path, what in problems))
        self.problems = problems

    @classmethod
    def of(cls, error: ValidationError) -> InvalidRequest:
        """What pydantic found wrong, without what was said."""
        return cls(tuple(_problem(e) for e in error.errors(include_url=False)))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check_sources(names: list[str]) -> list[str]:
    SecurityRequirement(tuple(SecurityClass.parse(n) for n in names))
    return names


def _distinct(names: list[str]) -> list[str]:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is named twice")
    return names


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
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_LEVELS: list[JsonValue] = ["none", "dh", "qra", "qkd"]
Sources = Annotated[
    list[SecurityName],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=3),
    AfterValidator(_check_sources),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": _LEVELS},
                {"type": "array", "items": {"type": "string", "enum": _LEVELS}, "minItems": 1, "maxItems": 3},
            ],
            "description": "One level, or several for a hybrid key: then without `none`, and none of them twice.",
        }
    ),
]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SNssaiWire(_Wire):
    """S-NSSAI: slice/service type and, optionally, slice differentiator (3GPP TS 23.003, clause 28.4.2)."""

    sst: int = Field(ge=0, le=255, strict=True)
    sd: str | None = Field(default=None, pattern=r"^[0-9A-Fa-f]{6}$")


class ComputeWire(_Wire):
    """Where the application runs; ``auto`` lets the orchestrator choose."""

    site: SiteName = AUTO
    vcpus: int = Field(ge=0, le=100_000, strict=True)
    memory_gb: int = Field(ge=0, le=1_000_000, strict=True)


class RevertWire(_Wire):
    """Return to the original path when it has been healthy for so long without interruption."""

    after_s: Annotated[Number, Field(ge=0, le=MAX_REVERT_S)]


def _off_is_none(value: Any) -> Any:
    if value is None:
        raise ValueError("off, or {after_s: seconds}")
    return None if value is False or value == "off" else value  # YAML 1.1 reads a bare `off` as false


Revert = Annotated[
    RevertWire | None,
    BeforeValidator(_off_is_none),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["off", False]},
                {
                    "type": "object",
                    "properties": {"after_s": {"type": "number", "minimum": 0, "maximum": MAX_REVERT_S}},
                    "required": ["after_s"],
                    "additionalProperties": False,
                },
            ],
            "default": "off",
            "description": "Return to the original path when it has been healthy for `after_s` seconds; `off`: never.",
        }
    ),
]


class ConnectionWire(_Wire):
    """What is asked of one of the three connections. ``security`` is one level or, for a hybrid key, several."""

    security: Sources
    bandwidth_mbps: Annotated[Number, Field(ge=0.001, le=MAX_BANDWIDTH_MBPS)]
    latency_ms: Annotated[Number, Field(gt=0, le=MAX_LATENCY_MS)]
    match: Literal["exact", "at-least"] = "at-least"
    rekey_s: Annotated[Number, Field(ge=MIN_REKEY_S, le=MAX_REKEY_S)] = DEFAULT_REKEY_S
    suite: SuiteName = DEFAULT_SUITE
    padding: PaddingName = NO_PADDING
    protection: Literal["none", "restoration", "1:1", "1+1"] = "restoration"
    fallback: Annotated[list[SecurityName], Field(max_length=3), AfterValidator(_distinct)] = []
    exclude_sites: Annotated[list[SiteName], Field(max_length=256)] = []
    exclude_channels: Annotated[list[ChannelName], Field(max_length=4096)] = []
    include_sites: Annotated[list[SiteName], Field(max_length=32), AfterValidator(_distinct)] = []
    include_channels: Annotated[list[ChannelName], Field(max_length=32), AfterValidator(_distinct)] = []
    max_hops: int | None = Field(default=None, ge=1, le=255, strict=True)
    priority: int = Field(default=0, ge=-100, le=100, strict=True)
    revert: Revert = None

    @model_validator(mode="after")
    def _fallback_is_lower(self) -> ConnectionWire:
        level = max(SecurityClass.parse(s) for s in self.security)
        for name in self.fallback:
            if SecurityClass.parse(name) >= level:
                raise ValueError(f"fallback {name} is not lower than the security asked for")
            if name == "none" and self.protection == "1+1":
                raise ValueError("fallback none has no tunnel to remove the copies of protection 1+1")
        return self

    @field_validator("suite")
    @classmethod
    def _suite_does_what_the_level_demands(cls, suite: SuiteName, info: ValidationInfo) -> SuiteName:
        security = info.data.get("security")
        if security is None or suite == DEFAULT_SUITE:
            return suite
        if security == ["none"]:
            raise ValueError("security none has no tunnel, and so no suite")
        if not hides(suite) and security != ["dh"]:
            raise ValueError(f"{suite} hides nothing, which security above dh demands")
        return suite

    @field_validator("padding")
    @classmethod
    def _padding_can_be(cls, padding: PaddingName, info: ValidationInfo) -> PaddingName:
        if padding == NO_PADDING:
            return padding
        if info.data.get("security") == ["none"]:
            raise ValueError("security none has no tunnel, and so no padding")
        least, most = bandwidths_mbps()
        bandwidth = info.data.get("bandwidth_mbps")
        if padding == CONSTANT_RATE and bandwidth is not None and not least <= bandwidth < most:
            raise ValueError(f"a constant rate takes a bandwidth of {least:.4f} to {most:.0f} Mbit/s")
        return padding

    @field_validator("protection")
    @classmethod
    def _copies_need_a_tunnel(cls, protection: str, info: ValidationInfo) -> str:
        if protection == "1+1" and "none" in info.data.get("security", ()):
            raise ValueError("1+1 needs a tunnel at the far end to remove the copy, and security none has no tunnel")
        return protection

    def to_spec(self) -> ConnectionSpec:
        return ConnectionSpec(
            security=SecurityRequirement(tuple(SecurityClass.parse(s) for s in self.security), Match(self.match)),
            bandwidth_kbps=round(self.bandwidth_mbps * 1000),
            latency_us=round(self.latency_ms * 1000),
            rekey_s=self.rekey_s,
            suite=self.suite,
            padding=self.padding,
            protection=Protection(self.protection),
            fallback=tuple(SecurityClass.parse(s) for s in self.fallback),
            exclude_sites=frozenset(self.exclude_sites),
            exclude_channels=frozenset(self.exclude_channels),
            include_sites=tuple(self.include_sites),
            include_channels=tuple(self.include_channels),
            max_hops=self.max_hops,
            priority=self.priority,
            revert_after_s=None if self.revert is None else self.revert.after_s,
        )


class ConnectionsWire(_Wire):
    """The three connections of papers 001 and 002: cell - core, cell - compute, compute - core."""

    control: ConnectionWire
    access: ConnectionWire
    backhaul: ConnectionWire


class SliceWire(_Wire):
    """A slice request."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    sNSSAI: SNssaiWire
    cells: Annotated[list[SiteName], Field(min_length=1, max_length=MAX_CELLS), AfterValidator(_distinct)]
    compute: ComputeWire
    core: SiteName
    connections: ConnectionsWire
    start: Moment | None = None
    end: Moment | None = None

    @field_validator("end")
    @classmethod
    def _end_after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        start = info.data.get("start")
        if end is not None and start is not None and end <= start:
            raise ValueError("end is not after start")
        return end

    @model_validator(mode="after")
    def _ends_differ(self) -> SliceWire:
        if self.core in self.cells:
            raise ValueError(f"{self.core} is both a cell and the core of the slice")
        if self.compute.site in (*self.cells, self.core):
            raise ValueError(f"compute.site {self.compute.site} must differ from the slice's cells and core")
        return self


def parse_slice_request(raw: Any) -> SliceRequest:
    """The request in plain values (from JSON or YAML) as the model knows it. Raises InvalidRequest."""
    try:
        wire = SliceWire.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest.of(error) from None
    return SliceRequest(
        name=wire.name,
        snssai=SNssai(wire.sNSSAI.sst, wire.sNSSAI.sd),
        cells=tuple(wire.cells),
        compute=ComputeRequest(
            None if wire.compute.site == AUTO else wire.compute.site, wire.compute.vcpus, wire.compute.memory_gb
        ),
        core=wire.core,
        connections={
            Role.CONTROL: wire.connections.control.to_spec(),
            Role.ACCESS: wire.connections.access.to_spec(),
            Role.BACKHAUL: wire.connections.backhaul.to_spec(),
        },
        start=None if wire.start is None else wire.start.timestamp(),
        end=None if wire.end is None else wire.end.timestamp(),
    )


FIXED = ("name", "cells", "core")


def patch_slice_request(request: SliceRequest, patch: Any, *, has_begun: bool = True) -> SliceRequest:
    """The request changed by a JSON merge patch (RFC 7396). Raises InvalidRequest.

    What makes a slice this slice (its name, its cells and its core) cannot be changed, nor when it began if it has.
    """
    if not isinstance(patch, Mapping):
        raise InvalidRequest((("request", "a merge patch is an object"),))
    before = slice_request_to_dict(request)
    fixed = [f for f in (*FIXED, *(("start",) if has_begun else ())) if f in patch and patch[f] != before.get(f)]
    if fixed:
        raise InvalidRequest(tuple((f, "cannot be changed; make another slice") for f in fixed))
    return parse_slice_request(_merged(before, patch))


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
    compute = request.compute
    return {
        "name": request.name,
        "sNSSAI": {"sst": request.snssai.sst} | ({} if request.snssai.sd is None else {"sd": request.snssai.sd}),
        "cells": list(request.cells),
        "compute": {"site": compute.site or AUTO, "vcpus": compute.vcpus, "memory_gb": compute.memory_gb},
        "core": request.core,
        "connections": {role.value: _spec_to_dict(spec) for role, spec in request.connections.items()},
        **({} if request.start is None else {"start": _moment(request.start)}),
        **({} if request.end is None else {"end": _moment(request.end)}),
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _spec_to_dict(spec: ConnectionSpec) -> dict[str, Any]:
    sources = [s.label for s in spec.security.sources]
    return {
        "security": sources[0] if len(sources) == 1 else sources,
        "bandwidth_mbps": spec.bandwidth_kbps / 1000,
        "latency_ms": spec.latency_us / 1000,
        "match": spec.security.match.value,
        "rekey_s": spec.rekey_s,
        "suite": spec.suite,
        "padding": spec.padding,
        "protection": spec.protection.value,
        "fallback": [s.label for s in spec.fallback],
        "exclude_sites": sorted(spec.exclude_sites),
        "exclude_channels": sorted(spec.exclude_channels),
        "include_sites": list(spec.include_sites),
        "include_channels": list(spec.include_channels),
        "max_hops": spec.max_hops,
        "priority": spec.priority,
        "revert": "off" if spec.revert_after_s is None else {"after_s": spec.revert_after_s},
    }


def _problem(error: Any) -> tuple[str, str]:
    path = ".".join(str(part) for part in error["loc"]) or "request"
    what = "unknown field" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return path, what
