"""What a healing policy is asked about, and its verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.extensions.api.plans import ConnectionAsk


@dataclass(frozen=True)
class PathView:
    """A path that a connection holds. ``is_up``: all its channels are."""

    channels: tuple[str, ...]
    is_up: bool


@dataclass(frozen=True)
class Impact:
    """What a failure has done to one connection: ``kind`` is one of the impacts of docs/how-to/own-algorithm.md.

    ``since_s`` is how long ago this policy was first asked about it, ``carries``: packets still pass.
    """

    connection: ConnectionAsk
    kind: str
    paths: tuple[PathView, ...]
    carries: bool
    since_s: float


@dataclass(frozen=True)
class Move:
    """Give the connection a path that works, found by the path computation in force."""

    connection: str


@dataclass(frozen=True)
class Wait:
    """Leave the connection on its path, and ask again after ``for_s`` seconds."""

    connection: str
    for_s: float


@dataclass(frozen=True)
class Fallback:
    """Give up the path; the first fallback that the request lists is used, as nothing at the level asked for fits."""

    connection: str


@dataclass(frozen=True)
class Degrade:
    """Give up the path and say why."""

    connection: str
    why: str


Verdict = Move | Wait | Fallback | Degrade
