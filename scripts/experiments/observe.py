"""What the controller says about the slices while an experiment runs, sampled, and what of it must never be."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Protocol, Self

from scripts.errors import EnvironmentLacks
from scripts.experiments.levels import too_weak
from scripts.testbed.clients import Answer, every_slice
from topologies.spec import EncryptionMode, Topology

PERIOD_S = 0.1
GONE = "unknown"  # the controller does not answer


class Api(Protocol):
    """What of a running system is needed here."""

    @property
    def topology(self) -> Topology: ...

    def api(self, method: str, path: str, body: Any = None) -> Answer: ...


@dataclass(frozen=True)
class Look:
    """A connection as the controller described it at one moment."""

    state: str
    path: tuple[str, ...]
    reason: str = ""
    key_source: str = ""
    relay: tuple[str, ...] = ()  # the QKD links that its keys come over
    rekey_s: float | None = None  # how often they are renewed now


@dataclass(frozen=True)
class Change:
    """From ``at_s`` on a connection looked like this."""

    at_s: float
    look: Look


def look_around(system: Api) -> dict[str, dict[str, Any]] | None:
    """The views of all connections by id; None when the controller does not answer."""
    try:
        status, slices = every_slice(system.api)
    except EnvironmentLacks:
        return None
    if status != 200:
        return None
    return {f"{s['name']}/{c['name']}": c for s in slices for c in s["connections"]}


class Observer:
    """Samples the controller while the block is open."""

    def __init__(self, system: Api, zero: float, encryption: EncryptionMode = EncryptionMode.HOST) -> None:
        self._system, self._zero, self._encryption = system, zero, encryption
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        self.changes: dict[str, list[Change]] = {}
        self.violations: list[str] = []

    def __enter__(self) -> Self:
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def sample(self) -> None:
        """Look once."""
        now = time.monotonic() - self._zero
        views = look_around(self._system)
        if views is None:
            for changes in self.changes.values():
                if changes[-1].look.state != GONE:
                    changes.append(Change(now, Look(GONE, changes[-1].look.path)))
            return
        for connection_id, view in views.items():
            look = Look(view["state"], tuple(view["path"]), str(view.get("reason") or ""), str(view["key_source"]),
                        tuple(view.get("key_links", ())), view.get("rekey_in_effect_s"))  # fmt: skip
            changes = self.changes.setdefault(connection_id, [])
            if not changes or changes[-1].look != look:
                changes.append(Change(now, look))
            weak = too_weak(self._system.topology, connection_id, view, self._encryption)
            if weak is not None and weak not in self.violations:
                self.violations.append(weak)

    def at(self, when_s: float) -> dict[str, Look]:
        """How every connection looked at a time."""
        found = {}
        for connection_id, changes in list(self.changes.items()):
            before = [c for c in changes if c.at_s <= when_s]
            found[connection_id] = (before[-1] if before else changes[0]).look
        return found

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self.sample()


def key_changes(changes: Sequence[Change]) -> list[str]:
    """What became of a connection's keys: the relay that they came over, and how often they were renewed."""
    told = []
    for before, after in pairwise(changes):
        was, now = before.look, after.look
        if GONE in (was.state, now.state):
            continue
        if was.relay != now.relay:
            told.append(f"at {after.at_s:.1f} s keys came over {_words(now.relay)} instead of {_words(was.relay)}")
        if was.rekey_s != now.rekey_s:
            told.append(f"at {after.at_s:.1f} s keys were renewed every {now.rekey_s:g} s instead of {was.rekey_s:g} s")
    return told


def _words(relay: Sequence[str]) -> str:
    return ", ".join(relay) or "no relay"


def silent_spells(
    changes: Sequence[Change], losses: Sequence[tuple[float, float]], least_s: float, end_s: float
) -> list[tuple[float, float]]:
    """Times of at least ``least_s`` in which the connection was called ACTIVE and lost everything: belief against fact.

    ``losses`` are the runs of lost probes as (from, to) in seconds.
    """
    spells = []
    for n, change in enumerate(changes):
        until = changes[n + 1].at_s if n + 1 < len(changes) else end_s
        if change.look.state.lower() != "active":
            continue
        for lost_from, lost_to in losses:
            start, stop = max(change.at_s, lost_from), min(until, lost_to)
            if stop - start >= least_s:
                spells.append((start, stop))
    return spells
