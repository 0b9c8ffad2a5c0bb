"""Dark channels: which of them to light when the network falls apart, and when to put them out again. Pure.

A spare is a channel whose ports are held down. Path computation does not see it until it is lit. When connections are
left without a way, the spares to light are found by trying: the fewest that give a way to everybody who could have one
with all of them lit, and of these the cheapest. Paper 000 heals a split graph by "adding an edge"; these are the edges
that can be added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations

from controller.graph import Network, NetworkIndex
from controller.joint import JointPlanner
from controller.model import ConnectionRequest, Protection, Route
from controller.records import Connection

MAX_SETS = 5_000  # sets of spares tried; beyond that the answer lights none in vain but may not be the smallest


class SpareState(Enum):
    """Where one spare stands."""

    DARK = "dark"  # its ports are held down
    LIGHTING = "lighting"  # its ports are being raised and the channel tried
    LIT = "lit"  # in use like any other channel


SPARE_TRANSITIONS: dict[SpareState, frozenset[SpareState]] = {
    SpareState.DARK: frozenset({SpareState.LIGHTING}),
    SpareState.LIGHTING: frozenset({SpareState.LIT, SpareState.DARK}),
    SpareState.LIT: frozenset({SpareState.DARK}),
}


@dataclass(frozen=True)
class Spare:
    """``fault`` says why it did not come up when it was last wanted, at ``failed_at`` (seconds, a steady clock)."""

    state: SpareState = SpareState.DARK
    fault: str | None = None
    failed_at: float = 0.0

    def become(self, state: SpareState) -> Spare:
        """The spare in another state; what was wrong with it is remembered until it is lit."""
        if state not in SPARE_TRANSITIONS[self.state]:
            raise ValueError(f"a spare that is {self.state.value} cannot become {state.value}")
        return Spare(state) if state is SpareState.LIT else replace(self, state=state)

    def fail(self, fault: str, now: float) -> Spare:
        """Dark again, because it did not come up."""
        return Spare(SpareState.DARK, fault, now)


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


def used_spares(connections: Iterable[Connection], spares: Collection[str]) -> frozenset[str]:
    """The spares that carry something."""
    used = {channel for c in connections for lane in c.lanes for channel in lane.route.channels}
    return frozenset(used.intersection(spares))


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
