"""Verdicts of a healing policy held against the network, the request and what has happened. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.model.request import ConnectionRequest
from controller.pce.network import Network
from controller.pce.route_query import search_route
from scripts.extensions.api import Degrade, Fallback, Impact, Move, Verdict, Wait

MOST_WAIT_S = 30.0
"""How long a policy may leave a connection on a path that has failed, in all."""
LONGEST_REASON = 200


@dataclass(frozen=True)
class Wrong:
    """A verdict that is not used: with a code, and a sentence."""

    code: str
    detail: str


def audited_verdicts(
    network: Network,
    impacts: Iterable[Impact],
    verdicts: Iterable[Verdict],
    requests: Mapping[str, ConnectionRequest],
) -> dict[str, Verdict | Wrong]:
    """Per connection the verdict about it, or what is wrong with that. ``network`` counts failed paths as free."""
    by_id: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_id.setdefault(verdict.connection, []).append(verdict)
    found: dict[str, Verdict | Wrong] = {}
    for impact in impacts:
        name = impact.connection.id
        given = by_id.pop(name, [])
        if len(given) != 1:
            found[name] = Wrong("connections", f"{len(given)} verdicts about it; one is wanted")
        else:
            found[name] = _wrong(network, impact, given[0], requests[name]) or given[0]
    for name in by_id:
        found[name] = Wrong("connections", "a verdict about it was not asked for")
    return found


def _wrong(network: Network, impact: Impact, verdict: Verdict, request: ConnectionRequest) -> Wrong | None:
    match verdict:
        case Move():
            return None
        case Wait(for_s=for_s):
            if not impact.paths:
                return Wrong("wait", "it has no path to wait on")
            if not 0 < for_s <= MOST_WAIT_S - impact.since_s:
                return Wrong("wait", f"{for_s:g} s after {impact.since_s:.1f} s: at most {MOST_WAIT_S:g} s in all")
            return None
        case Fallback() if not request.spec.fallback:
            return Wrong("fallback", "the request lists none")
        case Degrade(why=why) if not 0 < len(why) <= LONGEST_REASON:
            return Wrong("degrade", f"a reason of at most {LONGEST_REASON} characters is wanted")
    if impact.carries:
        return Wrong("carries", "packets pass, and its path would be given up")
    if search_route(network, request) is not None:
        return Wrong("has-path", "there is a path at the level asked for")
    return None
