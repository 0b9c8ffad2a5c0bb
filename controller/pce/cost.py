"""What a route costs: one integer in which surplus security outweighs latency and latency outweighs load.

    cost = sum over the channels of   surplus * 10^14  +  latency_us * 10^6  +  load

``surplus`` is how many levels the channel's class lies above the one asked for, so that premium channels carry lesser
traffic only when nothing else fits (paper 002, section 2: "selection of encrypted links as appropriate"). An operator
may leave it out (:class:`~controller.model.operator_policy.CostProfile`): then lesser traffic takes free premium
channels as it takes others ("over free encrypted links", the same section), and the sum has no such term. ``load`` is
the utilisation in per mille that the channel would have with the connection on it, in the direction where that is more:
it spreads what is otherwise equal. A lower term never outweighs a higher one below 1,000 hops and 100 seconds of
latency.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.operator_policy import CostProfile

SURPLUS_WEIGHT = 10**14
LATENCY_WEIGHT = 10**6
LOAD_SCALE = 1000


@dataclass(frozen=True)
class CostBreakdown:
    """A route's cost in its parts."""

    surplus_levels: int
    latency_us: int
    load_permille: int


def channel_cost(surplus: int, latency_us: int, load: int, profile: CostProfile = CostProfile.PREMIUM_LAST) -> int:
    """Of a channel whose class lies ``surplus`` levels above what is asked for; ``load`` in per mille."""
    return (surplus * SURPLUS_WEIGHT if profile.counts_surplus else 0) + latency_us * LATENCY_WEIGHT + load


def breakdown(cost: int) -> CostBreakdown:
    """The parts of a route's cost; the inverse of summing :func:`channel_cost`."""
    surplus, rest = divmod(cost, SURPLUS_WEIGHT)
    latency_us, load = divmod(rest, LATENCY_WEIGHT)
    return CostBreakdown(surplus, latency_us, load)
