"""The story of a failure, on one page: whom it concerns and how, and what is done for each of them. Decisions only.

A channel is lost, or a switch has refused a path. Each connection then stands in exactly one class:

==================  ======================================================  ===========================================
impact              what has happened to it                                 what is done
==================  ======================================================  ===========================================
UNAFFECTED          all of its paths work                                   nothing: what works is never touched
SWITCHED_OVER       its working path failed; its switches carry its         the backup is its working path from now on;
                    traffic over the backup by themselves already           another backup is looked for
TO_PROTECT_AGAIN    its backup failed                                       another backup is looked for
TO_RESTORE          every path that it had has failed                       a new path, with a backup if one was asked
                                                                            for; DEGRADED where there is none
SUSPECTED           BFD alone calls its path down: the carrier is there,    another path where there is one; else it
                    and packets may pass                                    stays, as a doubtful path beats none
TO_DEGRADE          its path failed, and it asked for no protection         DEGRADED on its path, until that comes back
TO_LAY_AGAIN        its paths work, and a switch refused their rules        the same paths are laid once more
==================  ======================================================  ===========================================

All of them make one plan: first everything that failed is given back, so that it is free for any of them; then those
without a path are served, the most urgent first; new backups come from what is left. The security asked for is never
lowered here: fallbacks, where a request lists them, are :mod:`controller.policy.security_fallback`'s.
:mod:`controller.operations` carries the decisions out, and explains afterwards to those without a path why that is so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto

from controller.model.connection import Connection
from controller.model.path import Lane
from controller.model.reason import UNEXPLAINED, Reason, ReasonCode
from controller.model.request import Protection
from controller.model.states import ConnectionState
from controller.policy.restoration import Decision, degrade, protect_again, rank, restore, works
from controller.state.network_state import NetworkState

HEALABLE = frozenset({ConnectionState.ACTIVE, ConnectionState.INSTALLING, ConnectionState.REROUTING})
PATH_FAILED = Reason(ReasonCode.NO_PROTECTION, "its path has failed and it asked for no protection")
NOWHERE: frozenset[str] = frozenset()


class Impact(Enum):
    """What a failure has done to one connection; see the table above."""

    UNAFFECTED = auto()
    SWITCHED_OVER = auto()
    TO_PROTECT_AGAIN = auto()
    TO_RESTORE = auto()
    SUSPECTED = auto()
    TO_DEGRADE = auto()
    TO_LAY_AGAIN = auto()


GIVES_BACK = frozenset({Impact.SWITCHED_OVER, Impact.TO_PROTECT_AGAIN, Impact.TO_RESTORE})


def affected(model: NetworkState) -> tuple[str, ...]:
    """Connections that use something which does not work, the most urgent first."""
    concerned = [c for c in model.connections.values() if _can_be_healed(c)]
    hit = [c for c in concerned if classify(model, c) is not Impact.UNAFFECTED]
    return tuple(c.id for c in sorted(hit, key=rank))


def classify(model: NetworkState, connection: Connection, refusing: frozenset[str] = NOWHERE) -> Impact:
    """What has happened to a connection; ``refusing`` are sites whose switches refused the paths that it has."""
    if not refusing and connection.lanes and all(works(model, lane) for lane in connection.lanes):
        return Impact.UNAFFECTED
    if not refusing and _may_still_pass(model, connection):
        return Impact.SUSPECTED
    if connection.lanes and connection.request.spec.protection is Protection.NONE:
        return Impact.TO_DEGRADE
    left = [lane for lane in connection.lanes if lane not in _failed(model, connection, refusing)]
    if not left:
        return Impact.TO_RESTORE
    if len(left) == len(connection.lanes):
        return Impact.TO_LAY_AGAIN
    return Impact.TO_PROTECT_AGAIN if left[0] is connection.lanes[0] else Impact.SWITCHED_OVER


def decide(
    model: NetworkState, ids: Iterable[str], refusing: Mapping[str, frozenset[str]] | None = None
) -> list[Decision]:
    """Decide about the connections ``ids`` as one plan.

    ``refusing`` names sites per connection whose switches refused its last path: the next one goes round them.
    A connection for which there is no path is DEGRADED, not explained yet (see ``restoration.explain``).
    """
    sites = refusing or {}
    hit = sorted((model.connections[i] for i in ids), key=rank)
    impacts = {c.id: classify(model, c, sites.get(c.id, NOWHERE)) for c in hit}
    for connection in hit:
        if impacts[connection.id] in GIVES_BACK:
            model.drop_lanes(connection.id, _failed(model, connection, sites.get(connection.id, NOWHERE)))
    decisions: list[Decision] = []
    unprotected = [c for c in hit if impacts[c.id] in (Impact.SWITCHED_OVER, Impact.TO_PROTECT_AGAIN)]
    for before in hit:
        match impacts[before.id]:
            case Impact.TO_DEGRADE:
                decisions.append(Decision(before, degrade(model, before.id, PATH_FAILED)))
            case Impact.SUSPECTED:
                decisions += _leave_for_better(model, before)
            case Impact.TO_LAY_AGAIN:
                decisions.append(_moved(model, before))
            case Impact.TO_RESTORE:
                if not restore(model, before, sites.get(before.id, NOWHERE)):
                    decisions.append(Decision(before, degrade(model, before.id, UNEXPLAINED)))
                elif before.request.spec.protection.has_backup:
                    unprotected.append(before)
                else:
                    decisions.append(_moved(model, before))
    return decisions + [protect_again(model, before, sites.get(before.id, NOWHERE)) for before in unprotected]


def _failed(model: NetworkState, connection: Connection, refusing: frozenset[str]) -> tuple[Lane, ...]:
    """The paths that do not work, or cross a site whose switch refuses them."""
    return tuple(
        lane for lane in connection.lanes if not works(model, lane) or not refusing.isdisjoint(lane.route.sites)
    )


def _can_be_healed(connection: Connection) -> bool:
    """Whether it carries traffic, or is DEGRADED on a path that it still holds: its probes fail there, or BFD did."""
    if connection.state in HEALABLE:
        return bool(connection.lanes)
    is_movable = connection.request.spec.protection is not Protection.NONE
    return is_movable and connection.state is ConnectionState.DEGRADED and bool(connection.lanes)


def _may_still_pass(model: NetworkState, connection: Connection) -> bool:
    """Whether no failure on its paths is certain: all that is down there is silent, with carrier, and may yet pass."""
    if connection.state not in (ConnectionState.ACTIVE, ConnectionState.DEGRADED):
        return False  # of a path being laid nobody has seen that it works
    dead = {c for lane in connection.lanes for c in lane.route.channels if not model.network.is_channel_up(c)}
    return bool(dead) and dead <= model.silent


def _leave_for_better(model: NetworkState, before: Connection) -> list[Decision]:
    """Another path for a connection whose own is called down by BFD alone, if there is one; else it stays."""
    silent = [lane for lane in before.lanes if not works(model, lane)]
    if before.request.spec.protection is not Protection.NONE:
        model.drop_lanes(before.id, silent)
        if model.connections[before.id].lanes:
            return [protect_again(model, before, NOWHERE)]
        if restore(model, before, NOWHERE):
            if before.request.spec.protection.has_backup:
                return [protect_again(model, before, NOWHERE)]
            return [_moved(model, before)]
        model.undo_release(before)
    return _stay(model, before, silent)


def _stay(model: NetworkState, before: Connection, silent: Iterable[Lane]) -> list[Decision]:
    """DEGRADED where it is, unless its probes pass; told once."""
    channels = tuple(sorted({c for lane in silent for c in lane.route.channels if not model.network.is_channel_up(c)}))
    sentence = f"BFD hears nothing on {', '.join(channels)}, where there is carrier; there is no other way"
    reason = Reason(ReasonCode.BFD_SILENT, sentence, channels)
    told = before.reason if before.state is ConnectionState.DEGRADED else None
    is_told = told is not None and (told.code, told.about) == (reason.code, reason.about)
    if is_told or model.is_passing(before.id):
        return []
    return [Decision(before, degrade(model, before.id, reason))]


def _moved(model: NetworkState, before: Connection) -> Decision:
    return Decision(before, model.set_state(before.id, ConnectionState.REROUTING))
