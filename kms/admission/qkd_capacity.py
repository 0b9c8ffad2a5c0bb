"""What the QKD network can give, as :mod:`kms.admission.key_rate_reservations` asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from kms.keys.key import UNCONSTRAINED, RoutingConstraint
from kms.qkdnet.disjoint_routing import Chain
from kms.qkdnet.qkd_network import QkdNetwork

ROUTES_HOLD_S = 0.5  # every request asks, and a route changes seldom


class QkdSupply:
    def __init__(self, network: QkdNetwork, clock: Callable[[], float]) -> None:
        self._network = network
        self._clock = clock
        # Routes that were asked for since the last change of epoch, as the sections that they cross.
        self._found: dict[tuple[str, str, RoutingConstraint], tuple[str, ...]] = {}
        self._found_at = 0

    def epoch(self) -> int:
        return int(self._clock() / ROUTES_HOLD_S)

    def sustained(
        self,
        a: str,
        b: str,
        constraint: RoutingConstraint = UNCONSTRAINED,
        needed_bps: float = 0.0,
        taken_bps: Mapping[str, float] | None = None,
    ) -> tuple[str, ...]:
        """The best route by rates alone as long as it has the rate free, else the best of those that have it, else the
        best again.
        """
        if a == b:
            return ()
        found = self._of_now()
        taken = taken_bps or {}
        if (a, b, constraint) not in found:
            rates = {name: section.skr_bps for name, section in self._network.sections.items()}
            found[a, b, constraint] = _crossed(self._network.sustained_routes(a, b, constraint, rates, 0.0))
        best = found[a, b, constraint]
        if all(self.skr_bps(s) - taken.get(s, 0.0) >= n * needed_bps for s, n in Counter(best).items()):
            return best
        free = {name: section.skr_bps - taken.get(name, 0.0) for name, section in self._network.sections.items()}
        return _crossed(self._network.sustained_routes(a, b, constraint, free, needed_bps)) or best

    def skr_bps(self, section: str) -> float:
        return self._network.sections[section].skr_bps

    def available_bits(self, section: str) -> int:
        return self._network.sections[section].available_bits

    def _of_now(self) -> dict[tuple[str, str, RoutingConstraint], tuple[str, ...]]:
        if self._found_at != self.epoch():
            self._found, self._found_at = {}, self.epoch()
        return self._found


def _crossed(routes: tuple[Chain, ...]) -> tuple[str, ...]:
    return tuple(section for route in routes for link in route for section in link.sections)
