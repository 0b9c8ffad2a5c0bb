"""What an entry of a timeline may be: a fault or its lifting, a change of a slice, a command, an assertion. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from topologies.spec import Topology

FLAP, LIFT_ALL = "link flap", "lift all"
CHANGE, COMMAND, ASSERT, FAULT = "slice patch", "exec", "assert", "fault"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OnPath(_Strict):
    """A channel of a connection's path, as it is at the start of the repetition or at the time of the fault."""

    path_of: str
    hop: Annotated[int, Field(ge=0)] | Literal["random"] = 0
    when: Literal["start", "now"] = "start"


class Between(_Strict):
    """Every channel between two sites: the whole fibre."""

    between: tuple[str, str]


class Around(_Strict):
    """Every channel that joins these sites to the others, dark ones apart: cutting them splits the network."""

    around: Annotated[tuple[str, ...], Field(min_length=1)]


class Step(_Strict):
    """One entry of the timeline that breaks or mends something."""

    at_s: Annotated[float, Field(ge=0)]
    do: str
    target: str | OnPath | Between | Around | None = None
    direction: Literal["a-b", "b-a"] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    loss_pct: Annotated[float, Field(ge=0, le=100)] = 0.0
    delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    jitter_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    times: Annotated[int, Field(ge=1, le=1000)] = 5
    period_s: Annotated[float, Field(gt=0)] = 1.0

    @property
    def end_s(self) -> float:
        """When the last of what this entry does has been done."""
        return self.at_s + (self.times - 0.5) * self.period_s if self.do == FLAP else self.at_s


class Change(_Strict):
    """``slice patch``: what `slice patch` would be given, at that time."""

    at_s: Annotated[float, Field(ge=0)]
    do: Literal["slice patch"]
    target: str
    """The slice's name."""
    patch: Annotated[dict[str, Any], Field(min_length=1)]
    refused: bool = False
    """Whether it is asserted that the controller refuses it."""

    @property
    def end_s(self) -> float:
        return self.at_s


class Command(_Strict):
    """``exec``: a command inside a host, a list of words, or a line for `sh`."""

    at_s: Annotated[float, Field(ge=0)]
    do: Literal["exec"]
    target: str
    """The host's site."""
    run: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)]
    status: Annotated[int, Field(ge=0, le=255)] = 0
    """The exit status that is asserted."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0

    @property
    def argv(self) -> tuple[str, ...]:
        return ("sh", "-c", self.run) if isinstance(self.run, str) else self.run

    @property
    def words(self) -> str:
        return self.run if isinstance(self.run, str) else shlex.join(self.run)

    @property
    def end_s(self) -> float:
        return self.at_s


class Assertion(_Strict):
    """``assert``: what must be so of a connection at that time, or come to be within ``within_s`` seconds."""

    at_s: Annotated[float, Field(ge=0)]
    do: Literal["assert"]
    target: str
    """The connection: slice/connection."""
    state: Literal["ACTIVE", "DEGRADED"] | None = None
    key_source: str | None = None
    over: str | None = None
    """A channel that its path is to have."""
    avoids: str | None = None
    """A channel that its path is not to have."""
    lost_at_most: Annotated[int, Field(ge=0)] | None = None
    """Probes lost from the beginning to this time."""
    within_s: Annotated[float, Field(ge=0, le=600)] = 0.0

    @model_validator(mode="after")
    def _asserts_something(self) -> Assertion:
        if not self.asks_the_controller and self.lost_at_most is None:
            raise ValueError("it asserts nothing: state, key_source, over, avoids or lost_at_most")
        return self

    @property
    def asks_the_controller(self) -> bool:
        return any(each is not None for each in (self.state, self.key_source, self.over, self.avoids))

    @property
    def end_s(self) -> float:
        return self.at_s + self.within_s

    @property
    def words(self) -> str:
        parts = {
            "is": self.state, "has keys of": self.key_source, "is on": self.over, "is not on": self.avoids,
            "has lost at most": None if self.lost_at_most is None else f"{self.lost_at_most} probes",
        }  # fmt: skip
        return f"{self.target} " + ", ".join(f"{verb} {what}" for verb, what in parts.items() if what is not None)

    def contradicted_by(self, view: Mapping[str, Any] | None) -> str | None:
        """What is otherwise; None when all holds. ``view`` is the controller's, None where it gives none."""
        if view is None:
            return "the controller did not say"
        path = view.get("path", ())
        if self.state is not None and view.get("state") != self.state:
            return f"it is {view.get('state')} ({view.get('reason') or 'no reason given'})"
        if self.key_source is not None and view.get("key_source") != self.key_source:
            return f"its keys are of {view.get('key_source')}"
        if self.over is not None and self.over not in path:
            return f"it is on {', '.join(path) or 'no path'}"
        if self.avoids is not None and self.avoids in path:
            return f"it is on {', '.join(path)}"
        return None


Aside = Change | Command | Assertion

KINDS: Mapping[str, type[Change] | type[Command] | type[Assertion]] = {
    CHANGE: Change, COMMAND: Command, ASSERT: Assertion
}  # fmt: skip


def kind_of(entry: Any) -> str:
    """Which of the kinds an entry is, read or not; FAULT for every other ``do``."""
    do = entry.get("do") if isinstance(entry, Mapping) else getattr(entry, "do", None)
    return do if isinstance(do, str) and do in KINDS else FAULT


Entry = Annotated[
    Annotated[Step, Tag(FAULT)]
    | Annotated[Change, Tag(CHANGE)]
    | Annotated[Command, Tag(COMMAND)]
    | Annotated[Assertion, Tag(ASSERT)],
    Discriminator(kind_of),
]


def channels_between(topology: Topology, target: Between) -> tuple[str, ...]:
    return tuple(c.id for c in topology.channels if set(c.ends) == set(target.between))


def channels_around(topology: Topology, target: Around) -> tuple[str, ...]:
    inside = frozenset(target.around)
    return tuple(c.id for c in topology.channels if not c.dark and len(inside.intersection(c.ends)) == 1)
