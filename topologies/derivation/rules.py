"""What a rules file may say (``topo import --rules``), field by field, and its defaults. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from topologies.files.located_yaml import Path, line_of
from topologies.files.problems import DocumentError, Problem, by_place
from topologies.files.schema import SCHEMA_DIALECT, ClassName, Gbps, Many, QkdPart, TierName


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_compiles)]
Percent = Annotated[float, Field(gt=0, le=100)]
Positive = Annotated[float, Field(gt=0, le=1e6)]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class TierRule(_Part):
    """A tier, and the nodes that it is for: those for which everything said here holds."""

    tier: TierName
    name: Pattern | None = None
    """A regular expression that is looked for in the node's label, in any case."""
    attributes: dict[str, Pattern] = {}
    """The same for attributes that the source gives the node."""
    min_degree: Annotated[int, Field(ge=0)] | None = None
    max_degree: Annotated[int, Field(ge=0)] | None = None
    top_percent: Percent | None = None
    """Of all nodes, those first by ``by``; at least one."""
    by: Literal["betweenness", "degree"] = "betweenness"


class SiteRule(_Part):
    """What there is for slices' compute at the sites of a tier, unless the source says it."""

    vcpus: Annotated[int, Field(ge=0, le=1_000_000)]
    memory_gb: Annotated[int, Field(ge=0, le=1_000_000)]


class ChannelRule(_Part):
    """A channel on a wavelength of its own."""

    class_: ClassName = Field(alias="class")
    capacity_gbps: Gbps | None = None
    """Default: the fibre's."""
    dark: bool = False


class FibreRule(_Part):
    """The channels of a fibre, and the edges that it is for: those for which everything said here holds."""

    tiers: Annotated[tuple[TierName, TierName], Field(strict=False)] | None = None
    """Of its ends, in any order."""
    name: Pattern | None = None
    min_km: Annotated[float, Field(ge=0)] | None = None
    max_km: Annotated[float, Field(ge=0)] | None = None
    channels: Annotated[Many[ClassName | ChannelRule], Field(min_length=1)]


class KmRule(_Part):
    """Where a fibre's length comes from: its attribute, else the great circle between its ends, else ``default``."""

    attribute: str | None = None
    """Default: km, length_km, distance_km or dist_km."""
    unit: Literal["km", "m", "mi"] = "km"
    per_unit: Positive | None = None
    """Kilometres in a unit of a drawing's coordinates, where they are none on Earth."""
    detour: Annotated[float, Field(ge=1, le=10)] = 1.0
    """How many times the great circle a fibre is long."""
    default: Annotated[float, Field(ge=0, le=100_000)] | None = None


class CapacityRule(_Part):
    """Where channels' capacity comes from: the edge's attribute, else ``default_gbps``."""

    attribute: str | None = None
    """Default: LinkSpeedRaw (bit/s), capacity_gbps, capacity_mbps, bandwidth_gbps or bandwidth_mbps."""
    unit: Literal["bps", "kbps", "mbps", "gbps"] = "gbps"
    default_gbps: Gbps | None = None
    """Default: 100, where the source has no capacities at all."""
    ignore: bool = False
    """Whether capacities of the source are passed over."""


class PositionRule(_Part):
    """Places of nodes."""

    geographic: bool | None = None
    """False: what is called longitude and latitude are coordinates of a drawing."""
    missing: Literal["keep", "drop", "neighbours"] = "keep"
    """What becomes of a node without a place where others have one: kept (its fibres need lengths of their own), left
    out, or put in the middle of its neighbours."""


class QkdRule(QkdPart):
    """Parameters of every QKD section."""

    longest_section_km: Positive = 80.0
    """A longer fibre gets trusted nodes, and sections of equal length between them."""


class Rules(_Part):
    """All rules. Of ``tiers`` and ``fibres`` the first that holds counts; the last of each must hold for all."""

    tiers: Annotated[Many[TierRule], Field(min_length=1)] = (
        TierRule(tier="core", top_percent=10.0),
        TierRule(tier="metro", top_percent=30.0),
        TierRule(tier="aggregation", top_percent=55.0),
        TierRule(tier="cell"),
    )
    sites: dict[TierName, SiteRule] = {
        "cell": SiteRule(vcpus=0, memory_gb=0),
        "aggregation": SiteRule(vcpus=16, memory_gb=64),
        "metro": SiteRule(vcpus=32, memory_gb=128),
        "core": SiteRule(vcpus=64, memory_gb=256),
    }
    fibres: Annotated[Many[FibreRule], Field(min_length=1)] = (FibreRule(channels=("none", "dh", "qra", "qkd")),)
    km: KmRule = KmRule()
    capacity: CapacityRule = CapacityRule()
    positions: PositionRule = PositionRule()
    qkd: QkdRule = QkdRule()
    self_loops: Literal["drop", "fail"] = "drop"
    parallel: Literal["keep", "merge"] = "keep"
    """Whether edges between the same two nodes are fibres of their own."""
    components: Literal["fail", "largest"] = "fail"
    """What becomes of a network in parts that no edge joins."""


def parse_rules(document: Mapping[str, Any], source: str, lines: Mapping[Path, int] | None = None) -> Rules:
    """The rules in plain values. DocumentError names the field and its line."""
    try:
        return Rules.model_validate(document)
    except ValidationError as error:
        problems = []
        for path, found in by_place(error.errors(include_url=False), document).items():
            missing = f"the field {found['loc'][-1]!r} is missing" if found["type"] == "missing" else ""
            unknown = "there is no such field" if found["type"] == "extra_forbidden" else ""
            message = (
                missing or unknown or f"{found['msg'].removeprefix('Value error, ')}, not {str(found['input'])[:60]!r}"
            )
            problems.append(Problem(path, message, line=None if lines is None else line_of(lines, path)))
        raise DocumentError(source, problems, listed="") from None


def rules_schema() -> dict[str, Any]:
    """The JSON Schema of a rules file, for editors."""
    return {"$schema": SCHEMA_DIALECT, "title": "QSlice import rules", **Rules.model_json_schema(by_alias=True)}
