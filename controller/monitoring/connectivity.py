"""What the tunnels' probes say about connections, put together from both ends. Pure.

The receiver of a direction knows best: what it hears has arrived, and what it does not hear has not, whatever the
sender was told last. Times are seconds on a steady clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.model.connection import Connection
from controller.model.connectivity import UNREADABLE, Finding, TunnelReport, Verdict
from controller.model.moment import moment
from controller.model.states import ConnectionState

AGENT_GRACE_S = 0.5  # an agent that is being restarted is not yet one that is away
# A tunnel waits for its first key for some milliseconds. That it does may be heard when it is over: what an agent tells
# by itself and what it answers come by different ways.
FIRST_KEY_GRACE_S = 0.5
# An agent tells of new keys by itself; what calls a connection ACTIVE is told by other ways, and may be quicker.
OTHER_KEYS_GRACE_S = 0.5
WAITING = "waiting"
AT_REST = (ConnectionState.ACTIVE, ConnectionState.DEGRADED)
KEYLESS = frozenset({WAITING, "expired", "closed"})


@dataclass(frozen=True)
class _End:
    report: TunnelReport
    told_at: float  # when its state was told first
    since: float | None


class Reachability:
    """The last word of every agent, and the findings that follow."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], _End] = {}  # (site, connection)
        self._away: dict[str, float] = {}  # site -> since
        self._other_keys: dict[str, float] = {}  # connection -> since when it is at rest with keys of another source
        self.findings: dict[str, Finding] = {}

    def tell(self, site: str, told: Mapping[str, TunnelReport], now: float, *, is_all: bool) -> None:
        """What an agent has told by ``watch``: of all its connections, or of those that have changed."""
        self._away.pop(site, None)
        if is_all:
            for key in [key for key in self._ends if key[0] == site]:
                del self._ends[key]
        for connection_id, report in told.items():
            for_s, last = report.reachable_for_s, self._ends.get((site, connection_id))
            told_at = last.told_at if last is not None and last.report.state == report.state else now
            self._ends[site, connection_id] = _End(report, told_at, None if for_s is None else now - for_s)

    def silent(self, site: str, now: float) -> None:
        """The agent does not answer: what it said last is worth nothing any more."""
        self._away.setdefault(site, now)
        for key in [key for key in self._ends if key[0] == site]:
            del self._ends[key]

    def judge(self, connections: Iterable[Connection], now: float, epoch: float) -> None:
        """Bring :attr:`findings` up to date: of these connections, by id. ``epoch`` is when the clock was at zero."""
        kept = {}
        present = {c.id: c for c in connections}
        for key in [key for key in self._ends if key[1] not in present]:
            del self._ends[key]
        self._other_keys = {i: since for i, since in self._other_keys.items() if i in present}
        for connection in present.values():
            before = self.findings.get(connection.id, Finding(since=now))
            verdict, since, text, rtt_ms = self._judge(connection, now)
            if verdict is before.verdict:
                since = before.since
            elif since is None or verdict is Verdict.PASSES:
                since = now
            if text is not None:
                text = f"{text} since {moment(epoch + since)}"
            kept[connection.id] = Finding(
                verdict, since, text, rtt_ms, connection.is_encrypted, self._keys_in_use(connection)
            )
        self.findings = kept

    def _judge(self, connection: Connection, now: float) -> tuple[Verdict, float | None, str | None, float | None]:
        src, dst = connection.request.src, connection.request.dst
        for site in (src, dst):
            if site in self._away and now - self._away[site] >= AGENT_GRACE_S:
                return Verdict.AGENT_AWAY, self._away[site], f"the tunnel agent at {site} does not answer", None
        a, b = (self._ends.get((site, connection.id)) for site in (src, dst))
        if a is None or b is None:
            return Verdict.UNKNOWN, None, None, None
        for site, end in ((src, a), (dst, b)):
            state, error = end.report.state, end.report.last_error
            if state == UNREADABLE:
                text = f"the tunnel agent at {site} gives no readable answer about it ({error})"
                return Verdict.AGENT_AWAY, end.told_at, text, None
            if state == WAITING and now - end.told_at < FIRST_KEY_GRACE_S:
                return Verdict.UNKNOWN, None, None, None
            if state in KEYLESS:
                why = f" ({error})" if error else ""
                return Verdict.NO_KEY, None, f"the tunnel at {site} has no key in use{why}", None
        other = self._judge_keys(connection, ((src, a), (dst, b)), now)
        if other is not None:
            return Verdict.OTHER_KEYS, None, other, None
        return _compared((src, a), (dst, b))

    def _judge_keys(self, connection: Connection, ends: Iterable[tuple[str, _End]], now: float) -> str | None:
        """What is wrong with the source of the keys in use; a connection on its way to other keys has none to answer
        for.
        """
        told = [(site, end.report.keys_in_use) for site, end in ends]
        wrong = [(site, keys) for site, keys in told if keys is not None and keys != connection.key_source]
        if not wrong or connection.state not in AT_REST:
            self._other_keys.pop(connection.id, None)
            return None
        if now - self._other_keys.setdefault(connection.id, now) < OTHER_KEYS_GRACE_S:
            return None
        site, keys = wrong[0]
        return f"the tunnel at {site} uses keys of {keys}, not of {connection.key_source},"

    def _keys_in_use(self, connection: Connection) -> str | None:
        ends = [self._ends.get((site, connection.id)) for site in (connection.request.src, connection.request.dst)]
        sources = {None if end is None else end.report.keys_in_use for end in ends}
        return sources.pop() if len(sources) == 1 else None


def _compared(one: tuple[str, _End], other: tuple[str, _End]) -> tuple[Verdict, float | None, str | None, float | None]:
    """What two ends with keys say of the two directions."""
    (src, a), (dst, b) = ((site, end.report) for site, end in (one, other))
    there, back = _direction(a.is_heard, b.hears_peer), _direction(b.is_heard, a.hears_peer)
    warning = "; ".join(f"{site}: {said}" for site, said in ((src, a.warning), (dst, b.warning)) if said) or None
    since = max((end.since for _, end in (one, other) if end.since is not None), default=None)
    if there is False or back is False:
        if there is False and back is False:
            text = f"probes between {src} and {dst} are lost both ways"
        elif there is False:
            text = f"probes from {src} do not arrive at {dst}"
        else:
            text = f"probes from {dst} do not arrive at {src}"
        return Verdict.FAILS, since, f"{text} ({warning})" if warning else text, None
    if there and back:
        return Verdict.PASSES, since, warning, a.rtt_ms if a.rtt_ms is not None else b.rtt_ms
    return Verdict.UNKNOWN, None, None, None


def _direction(is_heard: bool | None, is_hearing: bool | None) -> bool | None:
    """What the receiver knows; where it knows nothing, what the sender was told."""
    return is_heard if is_hearing is None else is_hearing
