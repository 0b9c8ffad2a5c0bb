"""A healing policy that is an extension: asked without the lock, its verdicts audited and made decisions.

What it says about a connection holds until the time it named is over, or something else happens to that connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.extending.verdicts import MOST_WAIT_S, Wrong, audited_verdicts
from controller.extending.views import connection_ask, network_view
from controller.model.connection import Connection, owner_of
from controller.model.reason import UNEXPLAINED, Reason, ReasonCode
from controller.model.states import ConnectionState
from controller.operations.context import OperationContext
from controller.operations.extending.terms import Terms
from controller.policy import failure
from controller.policy.failure import Impact
from controller.policy.restoration import Decision, degrade, works
from controller.state.network_state import NetworkState
from scripts.extensions import api
from scripts.extensions.errors import ExtensionError

ASK_AGAIN_S = 5.0  # after a failure of the policy
CARRYING = frozenset({Impact.SWITCHED_OVER, Impact.TO_PROTECT_AGAIN, Impact.SUSPECTED, Impact.TO_LAY_AGAIN})

Seen = tuple[Impact, tuple[tuple[tuple[str, ...], bool], ...]]


@dataclass(frozen=True)
class _Held:
    """A connection that is left where it is: what had happened to it, since when, and until when."""

    seen: Seen
    since: float
    until: float


class ExternalPolicy:
    """Verdicts about everything that a failure has hit."""

    def __init__(self, context: OperationContext, terms: Terms) -> None:
        self._context = context
        self._terms = terms
        self._held: dict[str, _Held] = {}

    def is_due(self) -> bool:
        """Whether somebody has waited for as long as was said."""
        with self._context.lock:
            now = self._context.steady()
            return any(held.until <= now for held in self._held.values())

    def consulted(self) -> Callable[[NetworkState], list[Decision]]:
        """Ask about everything that is hit, and say how to decide then. Call without the lock."""
        context = self._context
        with context.lock:
            now, model = context.steady(), context.model
            hit = [model.connections[i] for i in failure.affected(model)]
            seen = {c.id: _seen(model, c) for c in hit}
            self._held = {i: held for i, held in self._held.items() if i in seen}
            asked = [c for c in hit if not self._is_held(c.id, seen[c.id], now)]
            impacts = tuple(self._impact(model, c, seen[c.id], now) for c in asked)
            network = model.network.copy()
        if not asked:
            return lambda model: []
        verdicts: dict[str, api.Verdict | Wrong]
        requests = {c.id: c.request for c in asked}
        try:
            said = self._terms.worker.ask("decide", network_view(network), impacts, now)
        except ExtensionError as error:
            wrong = Wrong(error.fault.value, error.detail)
            verdicts = {c.id: wrong for c in asked}
        else:
            for connection in asked:
                if not _carries(seen[connection.id]):
                    for lane in connection.lanes:
                        network.release(owner_of(connection, lane))
            verdicts = audited_verdicts(network, impacts, said, requests)
            if not self._terms.is_audited:
                by_id = {verdict.connection: verdict for verdict in said}
                verdicts = {i: by_id.get(i, verdict) for i, verdict in verdicts.items() if i in requests}
        for about, verdict in verdicts.items():
            if isinstance(verdict, Wrong):
                self._terms.refuse(about, verdict.code, verdict.detail)
        return lambda model: self._decide(model, {i: v for i, v in verdicts.items() if i in requests}, seen, now)

    def _decide(
        self, model: NetworkState, verdicts: Mapping[str, api.Verdict | Wrong], seen: Mapping[str, Seen], now: float
    ) -> list[Decision]:
        moving, decisions = [], []
        hit = [i for i in failure.affected(model) if i in verdicts and _seen(model, model.connections[i]) == seen[i]]
        for connection_id in hit:
            before, verdict = model.connections[connection_id], verdicts[connection_id]
            if isinstance(verdict, Wrong) and self._terms.uses_builtin:
                verdict = api.Move(connection_id)
            match verdict:
                case api.Move():
                    moving.append(connection_id)
                case api.Wait(for_s=for_s):
                    why = f"{self._terms.name} waits {for_s:g} s for its path"
                    decisions += self._hold(model, before, seen[connection_id], now, for_s, why)
                case Wrong(detail=detail):
                    why = f"{self._terms.name}: {detail}"
                    decisions += self._hold(model, before, seen[connection_id], now, ASK_AGAIN_S, why)
                case api.Fallback():
                    decisions.append(_give_up(model, before, UNEXPLAINED))
                case api.Degrade(why=why):
                    text = f"{self._terms.name}: {why}"
                    decisions.append(_give_up(model, before, Reason(ReasonCode.NO_PATH, text)))
        if model is self._context.model:
            for connection_id in moving:
                self._held.pop(connection_id, None)
        return decisions + failure.decide(model, moving)

    def _hold(
        self, model: NetworkState, before: Connection, seen: Seen, now: float, for_s: float, why: str
    ) -> list[Decision]:
        """DEGRADED on its path, unless packets pass."""
        if model is self._context.model:
            last = self._held.get(before.id)
            since = last.since if last is not None and last.seen == seen else now
            self._held[before.id] = _Held(seen, since, now + for_s)
        if _carries(seen) or (before.state is ConnectionState.DEGRADED and before.reason is not None):
            return []
        return [Decision(before, degrade(model, before.id, Reason(ReasonCode.EXTENSION, why)))]

    def _is_held(self, connection_id: str, seen: Seen, now: float) -> bool:
        held = self._held.get(connection_id)
        return held is not None and held.seen == seen and now < held.until

    def _impact(self, model: NetworkState, connection: Connection, seen: Seen, now: float) -> api.Impact:
        held = self._held.get(connection.id)
        since = held.since if held is not None and held.seen == seen else now
        paths = tuple(api.PathView(lane.route.channels, works(model, lane)) for lane in connection.lanes)
        return api.Impact(
            connection_ask(model.network, connection.request),
            seen[0].name,
            paths,
            _carries(seen),
            min(now - since, MOST_WAIT_S),
        )


def _seen(model: NetworkState, connection: Connection) -> Seen:
    paths = tuple((lane.route.channels, works(model, lane)) for lane in connection.lanes)
    return failure.classify(model, connection), paths


def _carries(seen: Seen) -> bool:
    return seen[0] in CARRYING


def _give_up(model: NetworkState, before: Connection, reason: Reason) -> Decision:
    model.drop_lanes(before.id, before.lanes)
    return Decision(before, degrade(model, before.id, reason))
