"""Dark channels: which of them to light when the network falls apart, and when to put them out again. Pure.

A spare is a channel whose ports are held down. Path computation does not see it until it is lit. When connections are
left without a way, the spares to light are found by trying: the fewest that give a way to everybody who could have one
with all of them lit, and of these the cheapest. Paper 000 heals a split graph by "adding an edge"; these are the edges
that can be added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from controller.model.connection import Connection, owner_of
from controller.model.dark_channel import Spare, SpareState
from controller.model.path import Route
from controller.model.request import ConnectionRequest, Protection
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.pce.joint_planning import JointPlanner
from controller.pce.network import Network
from controller.pce.network_index import NetworkIndex
from controller.policy.restoration import Decision, rank
from controller.state.network_state import NetworkState

MAX_SETS = 5_000  # sets of spares tried; beyond that the answer lights none in vain but may not be the smallest


@dataclass(frozen=True)
class SparePlan:
    """Spares to light, and the way of everybody who then has one, by connection."""

    channels: tuple[str, ...]
    routes: Mapping[str, Route]
    is_proven: bool = True  # False when there were too many sets to try them all


def candidates(spares: Mapping[str, Spare], now: float, retest_s: float) -> tuple[str, ...]:
    """The spares that may be lit: dark, and not found faulty within the last ``retest_s`` seconds."""
    return tuple(
        channel
        for channel, spare in sorted(spares.items())
        if spare.state is SpareState.DARK and (spare.fault is None or now - spare.failed_at >= retest_s)
    )


def choose(network: Network, requests: Iterable[ConnectionRequest], spares: Collection[str]) -> SparePlan | None:
    """The spares to light for ``requests``, which come in the order in which they are to be served; None: none helps.

    Who is served is settled with all spares lit: each in turn, if there is a way for it together with those before it.
    Then the fewest spares are looked for with which the same connections have ways together; of as many the cheapest
    (see :func:`price`). Ways obey class, bandwidth, latency and key rate; what only one way is needed for (a
    connection at a standstill) is asked for without its backup.
    """
    lit = _lit(network, spares)
    planner = JointPlanner(lit)
    served: tuple[ConnectionRequest, ...] = ()
    for request in requests:
        more = (*served, _single(request))
        if planner.plan(more) is not None:
            served = more
    if not served:
        return None
    useful = _useful(network, lit, spares)
    for tried, chosen in enumerate(_sets(network.index, useful)):
        if tried == MAX_SETS:
            return _irreducible(network, served, useful)
        plan = _plan(network, served, chosen)
        if plan is not None:
            return SparePlan(chosen, plan)
    return None


def price(index: NetworkIndex, channels: Iterable[str]) -> tuple[int, int]:
    """What spares cost to light: the sum of their classes (premium channels are dear), then of their latencies (us)."""
    numbers = [index.channel_number[channel] for channel in channels]
    return sum(index.security[n] for n in numbers), sum(index.latency_us[n] for n in numbers)


class Holding:
    """How long each spare has not been needed: it is put out when that has been so for the hold time."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._idle_since: dict[str, float] = {}

    def due(self, idle: Collection[str], now: float) -> tuple[str, ...]:
        """Of the lit spares that are not needed at ``now`` (seconds, a steady clock), those to be put out."""
        self._idle_since = {channel: self._idle_since.get(channel, now) for channel in idle}
        return tuple(sorted(c for c, since in self._idle_since.items() if now - since >= self._hold_s))


def _lit(network: Network, channels: Iterable[str]) -> Network:
    trial = network.copy()
    for channel in channels:
        trial.set_dark(channel, False)
    return trial


def _single(request: ConnectionRequest) -> ConnectionRequest:
    if not request.spec.protection.has_backup:
        return request
    return replace(request, spec=replace(request.spec, protection=Protection.RESTORATION))


def _useful(network: Network, lit: Network, spares: Collection[str]) -> tuple[str, ...]:
    """Without those that are broken or whose sites are down; lit, they would still carry nothing."""
    return tuple(sorted(c for c in spares if lit.is_channel_up(c) and network.is_dark(c)))


def _sets(index: NetworkIndex, spares: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All sets, the smallest first, of one size the cheapest first, of one price in the order of their names."""
    for size in range(len(spares) + 1):
        yield from sorted(combinations(spares, size), key=lambda chosen: (price(index, chosen), chosen))


def _plan(network: Network, requests: tuple[ConnectionRequest, ...], chosen: Iterable[str]) -> dict[str, Route] | None:
    """Ways for all of ``requests`` together with ``chosen`` lit."""
    plan = JointPlanner(_lit(network, chosen)).plan(requests)
    return None if plan is None else {c.request.id: c.working for c in plan.connections}


def _irreducible(
    network: Network, requests: tuple[ConnectionRequest, ...], spares: tuple[str, ...]
) -> SparePlan | None:
    """A set from which none can be left out, found by leaving out the dearest as long as it works."""
    chosen = spares
    routes = _plan(network, requests, chosen)
    if routes is None:
        return None
    for channel in sorted(spares, key=lambda c: (price(network.index, (c,)), c), reverse=True):
        fewer = tuple(c for c in chosen if c != channel)
        without = _plan(network, requests, fewer)
        if without is not None:
            chosen, routes = fewer, without
    return SparePlan(chosen, routes, is_proven=False)


def lit(model: NetworkState) -> tuple[str, ...]:
    """The spares that are lit."""
    return tuple(sorted(c for c, spare in model.spares.items() if spare.state is SpareState.LIT))


def unneeded(model: NetworkState) -> frozenset[str]:
    """Lit spares that could be put out now: all of them together, or else each by itself."""
    shining = lit(model)
    if not shining:
        return frozenset()
    if replacements(model, shining) is not None:
        return frozenset(shining)
    return frozenset(c for c in shining if replacements(model, (c,)) is not None)


def replacements(model: NetworkState, spares: Collection[str]) -> Mapping[str, tuple[Route, ...]] | None:
    """Ways without ``spares`` for all that use them, together and with everything that was asked for; None: not now.

    What is on the move, or belongs to a slice that is being changed, is let come to rest first.
    """
    users = _users(model, spares)
    if any(c.state is not ConnectionState.ACTIVE or c.request.slice_name in model.retained for c in users):
        return None
    trial = model.network.copy()
    for connection in users:
        for lane in connection.lanes:
            trial.release(owner_of(connection, lane))
    for channel in spares:
        trial.set_dark(channel, True)
    plan = JointPlanner(trial).plan(tuple(replace(c.request, spec=c.in_force) for c in users))
    if plan is None:
        return None
    return {c.id: planned.routes for c, planned in zip(users, plan.connections, strict=True)}


def leave(model: NetworkState, spares: Collection[str]) -> list[Decision]:
    """Move everybody off ``spares``, make before break; nobody when not all can go."""
    routes = replacements(model, spares)
    decisions = []
    for connection_id, found in ({} if routes is None else routes).items():
        before = model.connections[connection_id]
        model.swap_lanes(connection_id, found, before.fallback)
        after = model.set_state(connection_id, ConnectionState.REROUTING, before.reason)
        decisions.append(Decision(before, after, Cause.SPARE_PUT_OUT))
    return decisions


def _users(model: NetworkState, spares: Collection[str]) -> list[Connection]:
    chosen = frozenset(spares)
    users = [
        c for c in model.connections.values() if any(not chosen.isdisjoint(lane.route.channels) for lane in c.lanes)
    ]
    return sorted(users, key=rank)
