"""A scenario file: what it may say; what makes no sense is refused with file and line before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.errors import WrongRequest
from scripts.experiments.scripted.parts import NO_PARTS, PartNames
from scripts.experiments.scripted.steps import (
    FLAP,
    KINDS,
    LIFT_ALL,
    Around,
    Aside,
    Assertion,
    Between,
    Change,
    Command,
    Entry,
    OnPath,
    Step,
    channels_around,
    channels_between,
)
from scripts.testbed.faults import FAULTS, INVERSES, Element, FaultKind, element_of, targets
from scripts.testbed.slice_requests import EXAMPLE_NAMES, is_text_in_request, load_example
from topologies.files import DEFAULT_MBPS_PER_GBPS, catalog_names, load_topology
from topologies.files.located_yaml import Path as ValuePath
from topologies.files.located_yaml import YamlError, line_of, load_located
from topologies.spec import Topology, TopologyError

SHIPPED = Path(__file__).parents[1] / "scenarios"
COMMANDS = (*(kind.value for kind in FaultKind), *INVERSES, FLAP, LIFT_ALL)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Traffic(_Strict):
    """Probes over ``connections`` (ids; None: all): echo requests or numbered datagrams at a rate, or iperf3."""

    kind: Literal["ping", "udp", "iperf3"]
    rate_pps: Annotated[float, Field(gt=0, le=2000)] = 100.0
    size_bytes: Annotated[int, Field(ge=16, le=1300)] = 64
    connections: tuple[str, ...] | None = None


class SliceEntry(_Strict):
    """One of the papers' use cases, or a request as in `slice create`."""

    example: Literal["enterprise-app", "cdn", "enterprise-app-protected", "cdn-protected"] | None = None
    request: dict[str, Any] | None = None


class ScenarioFile(_Strict):
    """The file as it is written."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    look_for: str = ""
    topology: str
    """A shipped one, or a file beside this one."""
    bfd: bool = False
    slices: Annotated[tuple[SliceEntry, ...], Field(min_length=1)]
    traffic: Annotated[tuple[Traffic, ...], Field(min_length=1)]
    duration_s: Annotated[float, Field(gt=0, le=3600)]
    timeline: Annotated[tuple[Entry, ...], Field(min_length=1)]
    repetitions: Annotated[int, Field(ge=1, le=1000)] = 3
    seed: Annotated[int, Field(ge=0)] = 1


@dataclass(frozen=True)
class Scenario:
    """A scenario that makes sense on its topology."""

    file: ScenarioFile
    topology: Topology
    requests: tuple[Mapping[str, Any], ...]
    parts: PartNames = NO_PARTS

    @property
    def name(self) -> str:
        return self.file.name


def shipped_names() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find_scenario(name: str) -> Path:
    """The file of a shipped scenario, or the file that ``name`` names; WrongRequest when there is neither."""
    shipped = SHIPPED / f"{name}.yaml"
    if "/" not in name and shipped.is_file():
        return shipped
    path = Path(name)
    if path.is_file():
        return path
    raise WrongRequest(
        f"NAME: there is no experiment {name!r} and no such file; shipped are {', '.join(shipped_names())}"
    )


@dataclass(frozen=True)
class Speed:
    """How fast the channels of the network are emulated: Mbit/s for each Gbit/s, or at the machine's own speed."""

    mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS
    shaped: bool = True


def read_scenario(
    path: Path, topology: Topology | None = None, speed: Speed = Speed(), parts: PartNames = NO_PARTS
) -> Scenario:
    """Parse and check; WrongRequest with file and line. ``topology`` takes the place of the one that the file names."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongRequest(f"{path}: cannot be read: {error}") from error
    return parse_scenario(text, str(path), topology, speed, parts)


def parse_scenario(
    text: str, source: str, topology: Topology | None = None, speed: Speed = Speed(), parts: PartNames = NO_PARTS
) -> Scenario:
    """The scenario in ``text``; WrongRequest names ``source`` and the line of the first thing that is wrong.

    A topology's file is looked for beside ``source``.
    """
    try:
        raw, lines = load_located(text, _is_text)
    except YamlError as error:
        raise WrongRequest(f"{source}:{error.line}: {error}") from error
    try:
        file = ScenarioFile.model_validate(raw)
    except ValidationError as error:
        complaints = [(_known(e["loc"], lines), e) for e in error.errors()]
        # An error inside a value makes its container wrong as well: the inner one says more.
        inner = [
            c for c in complaints if not any(len(c[0]) < len(o[0]) and o[0][: len(c[0])] == c[0] for o in complaints)
        ]
        where, first = min(inner, key=lambda c: line_of(lines, c[0]))
        raise WrongRequest(f"{source}:{line_of(lines, where)}: {_dotted(first['loc'])}: {first['msg']}") from error
    try:
        return _Check(file, topology or _topology(file.topology, Path(source).parent, speed), parts).scenario()
    except _Wrong as error:
        raise WrongRequest(f"{source}:{line_of(lines, error.path)}: {_dotted(error.path)}: {error}") from error


def _is_text(path: ValuePath) -> bool:
    return path[:1] == ("slices",) and path[2:3] == ("request",) and is_text_in_request(path[3:])


def _known(location: tuple[int | str, ...], lines: Mapping[ValuePath, int]) -> ValuePath:
    """The part of pydantic's location that stands in the file (it adds the names of alternatives)."""
    path: ValuePath = ()
    for part in location:
        if (*path, part) in lines:
            path = (*path, part)
    return path


def _dotted(path: ValuePath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the document"


class _Wrong(Exception):
    def __init__(self, path: ValuePath, message: str) -> None:
        super().__init__(message)
        self.path = path


def _topology(name_or_path: str, folder: Path, speed: Speed) -> Topology:
    named = name_or_path if name_or_path in catalog_names() else folder / name_or_path
    try:
        found = load_topology(named, speed.mbps_per_gbps, speed.shaped)
        found.require_room()
    except TopologyError as error:
        raise _Wrong(("topology",), str(error)) from error
    return found


class _Check:
    """What the types alone cannot say."""

    def __init__(self, file: ScenarioFile, topology: Topology, parts: PartNames) -> None:
        self._file, self._topology, self._parts = file, topology, parts

    def scenario(self) -> Scenario:
        requests = tuple(self._request(n, entry) for n, entry in enumerate(self._file.slices))
        names = [str(r["name"]) for r in requests]
        if len(set(names)) < len(names):
            raise _Wrong(("slices",), "two slices have one name")
        known = {i for r in requests for i in connection_ids(r)}
        for n, traffic in enumerate(self._file.traffic):
            for m, connection in enumerate(traffic.connections or ()):
                if connection not in known:
                    raise _Wrong(("traffic", n, "connections", m), _no_connection(connection, known))
        for n, step in enumerate(self._file.timeline):
            if isinstance(step, Step):
                self._step(("timeline", n), step, known)
            else:
                self._aside(("timeline", n), step, known, names)
        self._order()
        self._contradictions()
        return Scenario(self._file, self._topology, requests, self._parts)

    def _request(self, n: int, entry: SliceEntry) -> Mapping[str, Any]:
        if (entry.example is None) == (entry.request is None):
            raise _Wrong(
                ("slices", n), f"name an example ({', '.join(EXAMPLE_NAMES)}) or give a request, one of the two"
            )
        request = load_example(entry.example) if entry.example else entry.request or {}
        is_listed = isinstance(request.get("connections"), list)
        for field in ("name", "connections") if is_listed else ("name", "cells", "connections"):
            if not request.get(field):
                raise _Wrong(("slices", n, "request"), f"the request lacks {field!r}")
        for name in _sites(request):
            if name not in (None, "auto") and not self._topology.has_site(str(name)):
                raise _Wrong(("slices", n), f"topology {self._topology.name} has no site {name!r}")
        return request

    def _step(self, at: ValuePath, step: Step, connections: set[str]) -> None:
        if step.do in self._parts.steps:
            if step.target is not None and not isinstance(step.target, str):
                raise _Wrong((*at, "target"), f"{step.do!r} takes a text, or nothing")
            return
        words = (*COMMANDS, *self._parts.faults, *self._parts.inverses)
        if step.do not in words:
            raise _Wrong((*at, "do"), f"{step.do!r} is none of {', '.join((*words, *self._parts.steps, *KINDS))}")
        if step.do == LIFT_ALL:
            if step.target is not None:
                raise _Wrong((*at, "target"), "'lift all' takes no target")
            return
        is_part = self._parts.element_of(step.do)
        element = is_part or (Element.CHANNEL if step.do == FLAP else element_of(step.do))
        if step.target is None:
            raise _Wrong(at, f"{step.do!r} needs a target")
        if isinstance(step.target, str):
            known = targets(self._topology, element)
            if step.target not in known:
                raise _Wrong((*at, "target"), f"there is no {element.value} {step.target!r}")
        elif element is not Element.CHANNEL:
            raise _Wrong((*at, "target"), f"{step.do!r} is done to a {element.value}, named as it is")
        elif isinstance(step.target, OnPath):
            if step.target.path_of not in connections:
                raise _Wrong((*at, "target"), _no_connection(step.target.path_of, connections))
        elif isinstance(step.target, Around):
            for n, site in enumerate(step.target.around):
                if not self._topology.has_site(site):
                    raise _Wrong((*at, "target", "around", n), f"there is no site {site!r}")
            if not channels_around(self._topology, step.target):
                raise _Wrong((*at, "target"), "no channel joins these sites to any other")
        elif not channels_between(self._topology, step.target):
            raise _Wrong((*at, "target"), f"there is no channel between {' and '.join(step.target.between)}")
        if (step.do == FaultKind.IMPAIR.value) != bool(step.loss_pct or step.delay_ms or step.jitter_ms):
            raise _Wrong(at, "'link impair', and it alone, takes loss_pct, delay_ms or jitter_ms, more than 0")
        if step.jitter_ms > step.delay_ms:
            raise _Wrong((*at, "jitter_ms"), f"{step.jitter_ms:g} is more than delay_ms, {step.delay_ms:g}")
        if step.direction is not None and (element is not Element.CHANNEL or step.do == FLAP or is_part):
            raise _Wrong((*at, "direction"), f"{step.do!r} has no direction")

    def _aside(self, at: ValuePath, step: Aside, connections: set[str], slices: list[str]) -> None:
        """A change, a command or an assertion: what it names must be there."""
        match step:
            case Change():
                known, what = slices, "slice"
            case Command():
                known, what = list(self._topology.site_names), "host"
            case Assertion():
                known, what = sorted(connections), "connection"
                for field in ("over", "avoids"):
                    channel = getattr(step, field)
                    if channel is not None and not self._topology.has_channel(channel):
                        raise _Wrong((*at, field), f"there is no channel {channel!r}")
        if step.target not in known:
            raise _Wrong((*at, "target"), f"there is no {what} {step.target!r}; there are {', '.join(known)}")

    def _order(self) -> None:
        steps = self._file.timeline
        for n, step in enumerate(steps):
            if n and step.at_s < steps[n - 1].at_s:
                raise _Wrong(
                    ("timeline", n, "at_s"), f"{step.at_s:g} s comes after {steps[n - 1].at_s:g} s: out of order"
                )
            if step.end_s >= self._file.duration_s:
                message = f"done only at {step.end_s:g} s, but the experiment lasts {self._file.duration_s:g} s"
                raise _Wrong(("timeline", n, "at_s"), message)

    def _contradictions(self) -> None:
        """A fault twice, a fault and its lifting at one moment, a lifting of nothing, anything during a flap."""
        active: dict[tuple[str, str], float] = {}  # (command, place) -> since when
        flapping: dict[str, float] = {}  # place -> until when
        for n, step in enumerate(self._file.timeline):
            at: ValuePath = ("timeline", n)
            if not isinstance(step, Step) or step.do in self._parts.steps:
                continue
            if step.do == LIFT_ALL:
                active.clear()
                continue
            place = _place(step)
            if flapping.get(place, -1.0) >= step.at_s:
                raise _Wrong(at, f"{place} is still flapping until {flapping[place]:g} s")
            if step.do == FLAP:
                if any(p == place for _, p in active):
                    raise _Wrong(at, f"{place} is faulty already: it cannot flap")
                flapping[place] = step.end_s
            elif step.do in (*INVERSES, *self._parts.inverses):
                gone = [key for key in active if key[1] == place and self._inverse(key[0]) == step.do]
                if not gone:
                    raise _Wrong(at, f"{step.do!r}: there is no fault on {place} to lift")
                if any(active[key] == step.at_s for key in gone):
                    raise _Wrong(at, f"{place} is broken and repaired at the same time")
                for key in gone:
                    del active[key]
            elif (step.do, place) in active:
                raise _Wrong(at, f"{step.do!r} on {place} since {active[step.do, place]:g} s: it cannot happen twice")
            else:
                active[step.do, place] = step.at_s

    def _inverse(self, do: str) -> str:
        return self._parts.inverse_of(do) or FAULTS[FaultKind(do)].inverse


def _place(step: Step) -> str:
    target = step.target
    if isinstance(target, OnPath):
        text = f"hop {target.hop} of {target.path_of}" + (" now" if target.when == "now" else "")
    elif isinstance(target, Around):
        text = "around " + ", ".join(sorted(target.around))
    elif isinstance(target, Between):
        text = "between " + " and ".join(sorted(target.between))
    else:
        text = str(target)
    return f"{text} {step.direction}" if step.direction else text


def _no_connection(name: str, known: set[str]) -> str:
    return f"there is no connection {name!r}; there are {', '.join(sorted(known))}"


def _sites(request: Mapping[str, Any]) -> tuple[Any, ...]:
    """The sites that a slice request names as ends."""
    asked = request["connections"]
    if isinstance(asked, list):
        return tuple(listed.get(end) for listed in asked if isinstance(listed, dict) for end in ("from", "to"))
    compute = request.get("compute")
    site = compute.get("site") if isinstance(compute, dict) else None
    return (*request["cells"], request.get("core"), site)


def connection_ids(request: Mapping[str, Any]) -> tuple[str, ...]:
    """The connections that a slice request makes: those it lists, or the template's (paper 002, section 2)."""
    asked = request["connections"]
    if isinstance(asked, list):
        return tuple(f"{request['name']}/{listed.get('name')}" for listed in asked if isinstance(listed, dict))
    per_cell = [suffix for key, suffix in (("control", "control"), ("access", "compute")) if key in asked]
    names = [f"{cell}-{suffix}" for cell in request["cells"] for suffix in per_cell]
    names += ["compute-core"] if "backhaul" in asked else []
    return tuple(f"{request['name']}/{name}" for name in names)
