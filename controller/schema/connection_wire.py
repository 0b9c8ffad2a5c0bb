"""What is asked of a connection, on the wire: in the papers' template by role, else with a name and both ends."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from controller.model.request import (
    DEFAULT_REKEY_S,
    Compute,
    ConnectionSpec,
    Match,
    NamedConnection,
    Protection,
    SecurityRequirement,
)
from controller.model.tunnel_profile import (
    CONSTANT_RATE,
    DEFAULT_SUITE,
    EXTENSION_SUITE,
    NO_PADDING,
    SUITES,
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
MAX_VCPUS = 100_000
MAX_MEMORY_GB = 1_000_000

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
SecurityName = Literal["none", "dh", "qra", "qkd"]
SiteName = Annotated[str, Field(pattern=f"^{SITE_NAME.pattern}$")]
ChannelName = Annotated[str, Field(min_length=1, max_length=64)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check_sources(names: list[str]) -> list[str]:
    SecurityRequirement(tuple(SecurityClass.parse(n) for n in names))
    return names


def distinct(names: list[str]) -> list[str]:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is named twice")
    return names


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Bandwidth = Annotated[Number, Field(ge=0.001, le=MAX_BANDWIDTH_MBPS)]
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


def _one_of_ours_or_an_extensions(value: Any, ours: ValidatorFunctionWrapHandler) -> Any:
    """Whether that extension is there is for :class:`controller.schema.terms.Terms` to say."""
    return value if isinstance(value, str) and EXTENSION_SUITE.fullmatch(value) else ours(value)


AnySuite = Annotated[
    SuiteName,
    WrapValidator(_one_of_ours_or_an_extensions),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": [*SUITES]},
                {"type": "string", "pattern": f"^{EXTENSION_SUITE.pattern}$"},
            ]
        }
    ),
]


class Wire(BaseModel):
    """Closed, and read only."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RevertWire(Wire):
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


class ConnectionWire(Wire):
    """What is asked of a connection. ``security`` is one level or, for a hybrid key, several.

    ``bandwidth_mbps`` is that from its source to its destination; back it is the same, or ``reverse_bandwidth_mbps``.
    """

    security: Sources
    bandwidth_mbps: Bandwidth
    reverse_bandwidth_mbps: Bandwidth | None = None
    latency_ms: Annotated[Number, Field(gt=0, le=MAX_LATENCY_MS)]
    match: Literal["exact", "at-least"] = "at-least"
    rekey_s: Annotated[Number, Field(ge=MIN_REKEY_S, le=MAX_REKEY_S)] = DEFAULT_REKEY_S
    suite: AnySuite = DEFAULT_SUITE
    padding: PaddingName = NO_PADDING
    protection: Literal["none", "restoration", "1:1", "1+1"] = "restoration"
    fallback: Annotated[list[SecurityName], Field(max_length=3), AfterValidator(distinct)] = []
    exclude_sites: Annotated[list[SiteName], Field(max_length=256)] = []
    exclude_channels: Annotated[list[ChannelName], Field(max_length=4096)] = []
    include_sites: Annotated[list[SiteName], Field(max_length=32), AfterValidator(distinct)] = []
    include_channels: Annotated[list[ChannelName], Field(max_length=32), AfterValidator(distinct)] = []
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
        rates = (info.data.get(name) for name in ("bandwidth_mbps", "reverse_bandwidth_mbps"))
        if padding == CONSTANT_RATE and not all(rate is None or least <= rate < most for rate in rates):
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
            reverse_bandwidth_kbps=_kbps(self.reverse_bandwidth_mbps),
        )


def _kbps(mbps: float | None) -> int | None:
    return None if mbps is None else round(mbps * 1000)


class NeedWire(Wire):
    """What the application needs at one end of a connection."""

    vcpus: int = Field(default=0, ge=0, le=MAX_VCPUS, strict=True)
    memory_gb: int = Field(default=0, ge=0, le=MAX_MEMORY_GB, strict=True)

    def to_compute(self) -> Compute:
        return Compute(self.vcpus, self.memory_gb)


class NeedsWire(Wire):
    """What the application needs at both ends."""

    source: NeedWire = Field(default=NeedWire(), alias="from")
    destination: NeedWire = Field(default=NeedWire(), alias="to")


class NamedConnectionWire(ConnectionWire):
    """A connection between any two sites."""

    name: str = Field(pattern=NAME)
    source: SiteName = Field(alias="from")
    destination: SiteName = Field(alias="to")
    compute: NeedsWire = NeedsWire()

    @model_validator(mode="after")
    def _ends_differ(self) -> NamedConnectionWire:
        if self.source == self.destination:
            raise ValueError(f"both ends are {self.source}")
        return self

    def to_named(self) -> NamedConnection:
        needs = self.compute
        return NamedConnection(
            self.name, self.source, self.destination, self.to_spec(), needs.source.to_compute(),
            needs.destination.to_compute(),
        )  # fmt: skip


def spec_to_dict(spec: ConnectionSpec) -> dict[str, Any]:
    """As :class:`ConnectionWire` would read it."""
    sources = [s.label for s in spec.security.sources]
    return {
        "security": sources[0] if len(sources) == 1 else sources,
        "bandwidth_mbps": spec.bandwidth_kbps / 1000,
        "reverse_bandwidth_mbps": None if (back := spec.reverse_bandwidth_kbps) is None else back / 1000,
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


def named_to_dict(named: NamedConnection) -> dict[str, Any]:
    """As :class:`NamedConnectionWire` would read it."""
    ends = {"from": named.src_compute, "to": named.dst_compute}
    needs = {end: {"vcpus": c.vcpus, "memory_gb": c.memory_gb} for end, c in ends.items() if c != Compute()}
    compute = {"compute": needs} if needs else {}
    return {"name": named.name, "from": named.src, "to": named.dst, **compute, **spec_to_dict(named.spec)}
