"""A channel in use is cut while the connection on it is pinged at 1 kHz: outage, new paths, security kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.polling import poll
from scripts.measure.probes.outage import SETTLE_S, Outage, measure_outage
from scripts.measure.probes.probers import Probers, new_token
from scripts.measure.system import System, counters_of
from topologies.spec import Topology

PING_INTERVAL_S = 0.001
OTHERS_INTERVAL_S = 0.01
BEFORE_S = 0.6
AFTER_S = 1.0
RESTORATION_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Affected:
    """A connection that used the cut channel: before and after."""

    before: Connection
    after: Connection
    key_source_before: str
    key_source_after: str
    outage: Outage

    def shortcoming(self, topology: Topology, cut: str) -> str:
        """Why its security was not kept; empty when it was."""
        if not self.after.path:
            return f"{self.before.id} has no path any more"
        if cut in self.after.path:
            return f"{self.before.id} is still on {cut}"
        for channel in self.after.path:
            if topology.channel(channel).security < self.before.required_class:
                label = topology.channel(channel).security.label
                return f"{self.before.id} needs {self.before.required} and is on {channel} ({label})"
        if self.key_source_after != self.key_source_before:
            return f"{self.before.id}: its key source was {self.key_source_before}, is {self.key_source_after}"
        return ""


@dataclass(frozen=True)
class FailureResult:
    """``main`` is the connection pinged at 1 kHz; ``affected`` holds all that used the cut channel, it included."""

    cut: str
    main: Affected
    affected: tuple[Affected, ...]
    shortcomings: tuple[str, ...]

    @property
    def security_kept(self) -> bool:
        return not self.shortcomings


def choose_cut(connections: Sequence[Connection], restorable: Collection[str] | None = None) -> tuple[Connection, str]:
    """The connection to watch and the channel to cut: encrypted, over several channels if there is one, the strongest
    requirement; of its channels (those that are ``restorable``, if given) the one that most connections use."""

    def may_fail(connection: Connection) -> list[str]:
        return [channel for channel in connection.path if restorable is None or channel in restorable]

    least = 2 if restorable is None else 1
    candidates = [c for c in connections if c.is_encrypted and len(c.path) >= least and may_fail(c)]
    if not candidates:
        which = "of several channels" if restorable is None else "on which a channel may fail"
        raise MeasurementError(f"no encrypted connection has a path {which}")
    chosen = max(candidates, key=lambda c: (len(c.path) > 1, c.required_class))
    users = Counter(channel for c in connections for channel in c.path)
    return chosen, max(may_fail(chosen), key=lambda channel: users[channel])


def key_source_of(system: System, connection: Connection) -> str:
    """The key source its tunnel uses now, as both ends' agents say; ``none`` when it has no tunnel."""
    if not connection.is_encrypted:
        return "none"
    ends = {str(counters_of(system, host, connection.id)["key_source"]) for host in (connection.src, connection.dst)}
    return " / ".join(sorted(ends))


def cut_and_watch(
    system: System,
    probers: Probers,
    connections: Sequence[Connection],
    refresh: Callable[[], Mapping[str, Connection]],
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
    restoration_timeout_s: float = RESTORATION_TIMEOUT_S,
    slowness: float = 1.0,
    restorable: Collection[str] | None = None,
) -> FailureResult:
    """Cut, watch and restore. ``refresh`` asks the API for all connections, by id; ``restorable``: see choose_cut.

    With a ``slowness`` above 1 pings are so many times rarer, and may take so many times as long.
    """
    main, cut = choose_cut(connections, restorable)
    hit = [main, *(c for c in connections if cut in c.path and c.id != main.id)]
    sources = {c.id: key_source_of(system, c) for c in hit}
    tokens = {c.id: new_token() for c in hit}
    outages: dict[str, Outage] = {}
    after: Mapping[str, Connection] = {}
    try:
        for c in hit:
            probers[c.src].call(
                "ping", token=tokens[c.id], source=c.src_address, destination=c.dst_address,
                interval_s=slowness * (PING_INTERVAL_S if c.id == main.id else OTHERS_INTERVAL_S),
            )  # fmt: skip
        _require_replies(probers, hit, tokens, REPLY_TIMEOUT_S * slowness)
        time.sleep(before_s)
        cut_at = time.monotonic()
        system.link_down(cut)
        try:

            def restored() -> bool:
                nonlocal after
                after = refresh()
                return all(after[c.id].path and cut not in after[c.id].path for c in hit)

            poll(restored, restoration_timeout_s * slowness)
            time.sleep(after_s * slowness)
            after = refresh()
        finally:
            results = {c.id: probers[c.src].call("ping_stop", token=tokens[c.id]) for c in hit}
            sources_after = {c.id: key_source_of(system, c) for c in hit}
    finally:
        system.link_up(cut)
    for c in hit:
        outages[c.id] = measure_outage(
            results[c.id]["sent"], dict(results[c.id]["replies"]), cut_at, SETTLE_S * slowness
        )
    affected = tuple(Affected(c, after[c.id], sources[c.id], sources_after[c.id], outages[c.id]) for c in hit)
    shortcomings = tuple(filter(None, (a.shortcoming(system.topology, cut) for a in affected)))
    return FailureResult(cut, affected[0], affected, shortcomings)


def _require_replies(
    probers: Probers, connections: Sequence[Connection], tokens: Mapping[str, str], timeout_s: float
) -> None:
    for c in connections:
        if not poll(lambda c=c: probers[c.src].call("ping_count", token=tokens[c.id])["replies"] > 0, timeout_s):  # type: ignore[misc]
            raise MeasurementError(f"{c.id} answers no ping before the cut")
