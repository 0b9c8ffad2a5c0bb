"""What to do about a way that everybody believes to be good and that carries nothing. Pure.

A connection whose probes fail is DEGRADED at once; then its switches are compared with what they shall hold, then it is
moved: first to a way that shares no channel with the one in doubt, then, as nobody can tell which channel is at fault,
to ways that leave out one of them after the other. A way that has been tried is not tried again in the same round;
rounds come at growing intervals. What has no other way stays where it is, rules and all. Passing probes end it.

Channels of a way that was left in doubt are avoided for a while by everybody who has a choice, unless a connection
whose probes pass uses them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.model.connection import Connection
from controller.model.connectivity import Finding, Verdict
from controller.model.errors import ControllerError
from controller.model.path import Lane
from controller.model.reason import Reason, ReasonCode
from controller.model.request import Protection
from controller.model.states import ConnectionState
from controller.policy.restoration import Decision, protect_again, search_again
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

PROOF_AGE_S = 1.2  # a verdict that has held for so long has been renewed since: probes tell of a failure within 1 s
RECHECK_S = 0.75  # repaired rules show by then
SETTLE_S = 1.0  # and so does another way
FIRST_ROUND_S, LAST_ROUND_S = 2.0, 30.0
CALM_EPISODES = 4  # from here on moves are delayed
HOLD_S = 30.0  # for so long a channel in doubt is avoided, and a calm connection's past remembered
JUDGED = (ConnectionState.ACTIVE, ConnectionState.DEGRADED)

Way = tuple[str, ...]


@dataclass
class _Case:
    """One connection's trouble: what has been done, and when the next thing is due."""

    next_at: float
    is_checked: bool = False
    generation: int = 0
    tried: set[Way] = field(default_factory=set)
    rounds: int = 0
    moves: int = 0
    episodes: int = 0  # how often its probes have come to pass again lately
    passes_since: float | None = None


@dataclass(frozen=True)
class Advice:
    """What is due now: ``deny`` and ``clear`` change states, ``check`` compares switches, ``move`` reroutes."""

    deny: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    move: tuple[str, ...] = ()


class Doubts:
    """Cases by connection, channels in doubt. ``now`` is seconds on the steady clock of the findings."""

    def __init__(self) -> None:
        self._cases: dict[str, _Case] = {}
        self._channels: dict[str, tuple[float, float]] = {}  # in doubt: since, until
        self._degraded_since: dict[str, float] = {}

    def advise(self, model: NetworkState, findings: Mapping[str, Finding], now: float) -> Advice:
        """Look at every connection; call again soon, and after anything has happened."""
        deny: list[str] = []
        clear: list[str] = []
        check: list[str] = []
        move: list[str] = []
        self._note_degraded(model, now)
        for connection in list(model.connections.values()):
            finding = findings.get(connection.id)
            if finding is None or connection.state not in JUDGED or not connection.lanes:
                if connection.state not in (*JUDGED, ConnectionState.REROUTING):
                    self._cases.pop(connection.id, None)
                continue
            if connection.request.slice_name in model.retained:
                continue  # being changed: whoever does so proves it
            if connection.is_keyless:
                continue  # it lives on keys in store; what becomes of it is decided by controller.policy.key_supply
            if finding.is_denied:
                if connection.state is ConnectionState.ACTIVE or connection.reason != self.reason(connection, finding):
                    deny.append(connection.id)
                    self._degraded_since.setdefault(connection.id, now)
                if finding.verdict is Verdict.FAILS:
                    self._pursue(model, connection, now, check, move)
            elif finding.verdict is Verdict.PASSES:
                self._calm(connection, finding, now)
                if connection.state is ConnectionState.DEGRADED and self._is_proven(connection.id, finding, now):
                    clear.append(connection.id)
        for gone in self._cases.keys() - model.connections.keys():
            del self._cases[gone]
        self._clear_channels(model, findings, now)
        return Advice(tuple(deny), tuple(clear), tuple(check), tuple(move))

    def reason(self, connection: Connection, finding: Finding) -> Reason:
        """Why the connection is not ACTIVE: what was seen, and what has been done about it."""
        code = ReasonCode.OTHER_KEYS if finding.verdict is Verdict.OTHER_KEYS else ReasonCode.PROBES_FAIL
        return Reason(code, self._sentence(connection, finding))

    def _sentence(self, connection: Connection, finding: Finding) -> str:
        text = finding.text or "its probes have not passed yet"
        case = self._cases.get(connection.id)
        if finding.verdict is not Verdict.FAILS or case is None:
            return text
        if case.rounds:
            return f"{text}; no other way is left to try" if case.moves else f"{text}; there is no other way"
        return f"{text}; moved to another way" if case.moves else text

    def _note_degraded(self, model: NetworkState, now: float) -> None:
        degraded = [c.id for c in model.connections.values() if c.state is ConnectionState.DEGRADED]
        self._degraded_since = {i: self._degraded_since.get(i, now) for i in degraded}

    def _is_proven(self, connection_id: str, finding: Finding, now: float) -> bool:
        """Whether the probes have passed since it became DEGRADED, and not just not failed yet."""
        degraded_at = self._degraded_since[connection_id]
        return finding.since > degraded_at or now - degraded_at >= PROOF_AGE_S

    def _pursue(
        self, model: NetworkState, connection: Connection, now: float, check: list[str], move: list[str]
    ) -> None:
        case = self._cases.get(connection.id)
        if case is None:
            case = self._cases[connection.id] = _Case(next_at=now, generation=connection.generation)
        case.passes_since = None
        if connection.generation != case.generation:  # it has been moved: that must show first
            case.generation = connection.generation
            case.next_at = max(case.next_at, now + SETTLE_S)
        is_believed_good = all(model.network.is_channel_up(c) for lane in connection.lanes for c in lane.route.channels)
        if now < case.next_at or not is_believed_good:
            return
        if not case.is_checked:
            case.is_checked = True
            check.append(connection.id)
        elif connection.request.spec.protection is not Protection.NONE:
            move.append(connection.id)

    def _calm(self, connection: Connection, finding: Finding, now: float) -> None:
        """Its probes pass: a new trouble is another one. Who has many in a short time is moved less and less."""
        case = self._cases.get(connection.id)
        if case is None:
            return
        if case.passes_since is None:
            episodes = case.episodes + 1
            pause_s = min(LAST_ROUND_S, 2.0 ** (episodes - CALM_EPISODES)) if episodes >= CALM_EPISODES else 0.0
            case = _Case(now + pause_s, generation=connection.generation, episodes=episodes, passes_since=finding.since)
            self._cases[connection.id] = case
        elif now - case.passes_since >= HOLD_S:
            del self._cases[connection.id]

    def checked(self, connection_id: str, now: float, *, was_wrong: bool) -> None:
        """Its switches have been compared; where something was repaired, that has a while to show."""
        if connection_id in self._cases:
            self._cases[connection_id].next_at = now + (RECHECK_S if was_wrong else 0.0)

    def something_came_back(self, now: float) -> None:
        """There may be other ways now."""
        for case in self._cases.values():
            if case.passes_since is None and case.is_checked:
                case.next_at = min(case.next_at, now + SETTLE_S)
                case.tried.clear()
                case.rounds = 0

    # --- moving --------------------------------------------------------------------------------------------------

    def move(
        self, model: NetworkState, ids: Iterable[str], findings: Mapping[str, Finding], now: float
    ) -> list[Decision]:
        """Put connections on other ways where there are any. What has none keeps what it has."""
        decisions = []
        proven = _proven_channels(model, findings, now)
        chosen = [model.connections[i] for i in ids if i in model.connections and i in self._cases]
        for connection in chosen:
            for channel in frozenset(_channels_in_doubt(connection)) - proven:
                self._channels[channel] = (self._channels.get(channel, (now, 0.0))[0], now + HOLD_S)
        model.doubt_channels(self._channels)
        for connection in chosen:
            case = self._cases[connection.id]
            if connection.state is not ConnectionState.DEGRADED or not connection.lanes:
                continue
            case.tried |= {lane.route.channels for lane in _in_doubt(connection)}
            decision = move_away(model, connection, exclusions(connection, proven), case.tried)
            if decision is None:
                pause_s = min(LAST_ROUND_S, FIRST_ROUND_S * 2**case.rounds)
                case.rounds += 1
                case.next_at = now + pause_s
                case.tried.clear()
                case.is_checked = False  # the next round looks at the switches as well
            else:
                case.moves += 1
                case.generation = model.connections[connection.id].generation
                case.next_at = now + SETTLE_S
                decisions.append(decision)
        return decisions

    def _clear_channels(self, model: NetworkState, findings: Mapping[str, Finding], now: float) -> None:
        if self._channels:
            proven = _proven_channels(model, findings, now)
            self._channels = {
                channel: (since, until)
                for channel, (since, until) in self._channels.items()
                if until > now and not (channel in proven and now - since >= PROOF_AGE_S)
            }
        model.doubt_channels(self._channels)


def exclusions(connection: Connection, proven: frozenset[str]) -> tuple[frozenset[str], ...]:
    """What to leave out, the most thorough first: all the way; all that nobody vouches for; one channel at a time."""
    channels = _channels_in_doubt(connection)
    unproven = [c for c in channels if c not in proven] or list(channels)
    return tuple(dict.fromkeys([frozenset(channels), frozenset(unproven), *(frozenset({c}) for c in unproven)]))


def move_away(
    model: NetworkState, before: Connection, leave_out: Iterable[frozenset[str]], tried: set[Way]
) -> Decision | None:
    """Reserve another way in place of the one in doubt; None, and everything as it was, when there is none."""
    spec = before.in_force
    untried = [lane for lane in before.lanes[1:] if lane.route.channels not in tried]
    if spec.protection is Protection.ONE_TO_ONE and untried:  # its rules stand already
        model.drop_lanes(before.id, before.lanes[:1])
        return protect_again(model, before, frozenset())
    model.drop_lanes(before.id, before.lanes)
    model.keep_fallback(before.id, before.fallback)
    choices = list(leave_out)
    for excluded in dict.fromkeys([*(e | model.doubted for e in choices), *choices]):
        narrowed = replace(spec, exclude_channels=spec.exclude_channels | excluded)
        found = search_again(model, before.id, replace(before.request, spec=narrowed))
        if found is not None and found.channels not in tried:
            try:
                model.add_lane(before.id, found)
            except ControllerError as error:  # labels have run out on it
                log.warning("connection %s: %s", before.id, error)
                continue
            if spec.protection.has_backup:
                return protect_again(model, before, frozenset())
            return Decision(before, model.set_state(before.id, ConnectionState.REROUTING))
    model.undo_release(before)
    return None


def _proven_channels(model: NetworkState, findings: Mapping[str, Finding], now: float) -> frozenset[str]:
    """Channels that certainly carry packets: the only way of a connection whose probes pass, and have for a while."""
    return frozenset(
        channel
        for connection in model.connections.values()
        if len(connection.lanes) == 1
        and (finding := findings.get(connection.id)) is not None
        and finding.verdict is Verdict.PASSES
        and now - finding.since >= PROOF_AGE_S
        for channel in connection.lanes[0].route.channels
    )


def _in_doubt(connection: Connection) -> tuple[Lane, ...]:
    """The lanes that carry the traffic: with 1+1 all of them, and all must have failed."""
    if connection.request.spec.protection is Protection.ONE_PLUS_ONE:
        return connection.lanes
    return connection.lanes[:1]


def _channels_in_doubt(connection: Connection) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c for lane in _in_doubt(connection) for c in lane.route.channels))
