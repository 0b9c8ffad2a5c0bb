"""Key rate that the cards of wavelengths hold of QKD sections, whatever slices there are.

Cards come first: where a relay has the rate for them beside each other they have it, and connections share the rest.
What connections then lack is a matter of :mod:`controller.policy.key_supply`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from controller.model.cards import CardPair
from controller.model.key_rates import RATE_TOLERANCE
from controller.model.path import Route
from controller.pce.key_relay import FoundRelay, KeyQuery, fewest_crossings
from controller.pce.network import Network


class CardKeys:
    """Which relay each pair of cards has its keys over; a relay is kept as long as it serves."""

    def __init__(self, alone: Network, pairs: Iterable[CardPair]) -> None:
        """``alone`` is a network where nobody else holds anything: what is free there is what cards may have."""
        self._pairs = tuple(pair for pair in pairs if pair.key_rate_millibps)
        self._alone = alone
        self._routes: dict[str, Route] = {}  # by wavelength
        self._view = MappingProxyType(self._routes)

    def fork(self) -> CardKeys:
        """Independent ones that are the same."""
        twin = CardKeys(self._alone.copy(), self._pairs)
        twin._routes.update(self._routes)
        return twin

    @property
    def routes(self) -> Mapping[str, Route]:
        """By wavelength: its relay as a route without channels. Of one that is missing no relay has the rate."""
        return self._view

    def review(self, network: Network) -> None:
        """Have every pair hold its rate in ``network``, by the states and rates that this has now."""
        if not self._pairs:
            return
        self._observe(network)
        for pair in self._pairs:
            route = self._routes.get(pair.wavelength)
            if route is not None and not self._serves(route):
                self._alone.release(pair.owner)
                del self._routes[pair.wavelength]
        for pair in self._pairs:
            if pair.wavelength not in self._routes:
                self._find(pair)
        for pair in self._pairs:
            self._mirror(pair, network)

    def _observe(self, network: Network) -> None:
        alone = self._alone
        for section in network.topology.sections:
            rate = network.key_rate_millibps(section.id)
            alone.set_section(section.id, rate, network.is_section_usable(section.id))
        alone.set_unknown_sections(network.unknown_sections)
        for site in network.topology.site_names:
            alone.set_site_up(site, network.is_site_up(site))

    def _serves(self, route: Route) -> bool:
        """Whether every section on it may give what cards hold there; one whose rate is unknown may."""
        alone = self._alone
        return all(
            section in alone.unknown_sections
            or (
                alone.is_section_usable(section)
                and alone.reserved_key_millibps(section) <= RATE_TOLERANCE * alone.key_rate_millibps(section)
            )
            for section, _ in route.key_sections
        )

    def _find(self, pair: CardPair) -> None:
        alone, number = self._alone, self._alone.index.site_number
        if not (alone.is_site_up(pair.a) and alone.is_site_up(pair.b)):
            return
        relay = fewest_crossings(alone, KeyQuery(number[pair.a], number[pair.b], pair.key_rate_millibps))
        if relay is None:
            return
        route = _as_route(alone, relay)
        alone.reserve(pair.owner, route, 0, pair.key_rate_millibps)
        self._routes[pair.wavelength] = route

    def _mirror(self, pair: CardPair, network: Network) -> None:
        if network.is_reserved(pair.owner):
            network.release(pair.owner)
        if pair.wavelength in self._routes:
            network.reserve(pair.owner, self._routes[pair.wavelength], 0, pair.key_rate_millibps, is_kept=True)


def _as_route(network: Network, relay: FoundRelay) -> Route:
    sections = tuple((network.index.section_ids[section], times) for section, times in relay.crossings)
    return Route((), (), 0, 0, relay.links, sections)
