"""What the QKD network can give, as :mod:`kms.applications` asks for it."""

from __future__ import annotations

from collections.abc import Callable

from kms.errors import ExhaustedError
from kms.relay import QkdNetwork

ROUTES_HOLD_S = 0.5  # every request asks, and a route changes seldom


class QkdSupply:
    """Routes as an empty message would take them: over links that are usable now."""

    def __init__(self, network: QkdNetwork, clock: Callable[[], float]) -> None:
        self._network = network
        self._clock = clock
        self._routes: dict[tuple[str, str], tuple[str, ...]] = {}
        self._routes_of = 0

    def epoch(self) -> int:
        return int(self._clock() / ROUTES_HOLD_S)

    def sections_between(self, a: str, b: str) -> tuple[str, ...]:
        if a == b:
            return ()
        if self._routes_of != self.epoch():
            self._routes.clear()
            self._routes_of = self.epoch()
        if (a, b) not in self._routes:
            self._routes[a, b] = self._route(a, b)
        return self._routes[a, b]

    def _route(self, a: str, b: str) -> tuple[str, ...]:
        try:
            links = self._network.route(a, b, 0)
        except ExhaustedError:
            return ()
        return tuple(section for link in links for section in link.sections)

    def skr_bps(self, section: str) -> float:
        return self._network.sections[section].skr_bps

    def available_bits(self, section: str) -> int:
        return self._network.sections[section].available_bits
