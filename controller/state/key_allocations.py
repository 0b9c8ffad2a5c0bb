"""Where connections' keys come from, and what is kept for them while nobody knows what the sections give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.model.connection import Connection, owner_of
from controller.model.path import Lane, Route
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network, OverCommitted
from controller.pce.route_query import relay_of


class KeyAllocations:
    """Moves the key rate that lanes hold in ``network`` from one relay to another."""

    def __init__(self, network: Network) -> None:
        self._network = network
        # A rate that is unknown, as while the KMS is silent, is no loss to those who live on the section, and nothing
        # that anybody new may have. Who loses its way meanwhile is remembered with the relay it had.
        self._last_relays: dict[str, Route] = {}

    def fork(self, network: Network) -> KeyAllocations:
        """Independent allocations that are the same, in a copy of the network."""
        twin = KeyAllocations(network)
        twin._last_relays.update(self._last_relays)
        return twin

    def set_unknown_sections(self, sections: Iterable[str]) -> None:
        """The sections of whose rate nobody has told."""
        self._network.set_unknown_sections(sections)
        if not self._network.unknown_sections:
            self._last_relays.clear()

    def has_unknown_keys(self, route: Route) -> bool:
        """Whether a rate on its relay is unknown."""
        return any(section in self._network.unknown_sections for section, _ in route.key_sections)

    # --- remembered relays ---------------------------------------------------------------------------------------

    def remember_relay(self, connection: Connection) -> None:
        """The connection is about to lose its way: keep its relay in mind as long as nobody could find it anew."""
        if connection.lanes and self.has_unknown_keys(connection.lanes[0].route):
            self._last_relays[connection.id] = connection.lanes[0].route

    def forget_relay(self, connection_id: str) -> None:
        """What is remembered is of no use any more."""
        self._last_relays.pop(connection_id, None)

    def kept_relay(self, connection: Connection) -> FoundRelay | None:
        """The relay to keep for a connection that moves, or that lost its way, while rates on it are unknown.

        None when there is none, and the keys' way is to be looked for.
        """
        route = connection.route or self._last_relays.get(connection.id)
        if route is None or not self.has_unknown_keys(route):
            return None
        sections = [section for section, _ in route.key_sections]
        unknown = self._network.unknown_sections
        if not all(s in unknown or self._network.is_section_usable(s) for s in sections):
            return None
        return relay_of(self._network, route)

    # --- moving keys ---------------------------------------------------------------------------------------------

    def take_over(self, connection: Connection, lane: Lane) -> Lane:
        """A backup that becomes the working lane has the relay that the working lane had, and pays for it."""
        was = connection.lanes[0].route
        owner, spec = owner_of(connection, lane), connection.in_force
        moved = replace(lane, route=replace(lane.route, key_links=was.key_links, key_sections=was.key_sections))
        self._network.release(owner)
        self._network.reserve(owner, moved.route, spec.reserved_kbps, spec.key_rate_millibps, is_kept=True)
        return moved

    def move_keys(self, connection: Connection, relay: FoundRelay, key_rate_millibps: int, *, is_kept: bool) -> Lane:
        """The working lane, its keys coming over another relay at that rate; an empty one: from nowhere.

        Raises OverCommitted, with nothing reserved for keys then; not where it had just that (``is_kept``).
        """
        lane, spec = connection.lanes[0], connection.request.spec
        sections = tuple((self._network.index.section_ids[s], times) for s, times in relay.crossings)
        moved = replace(lane, route=replace(lane.route, key_links=relay.links, key_sections=sections))
        owner = owner_of(connection, lane)
        self._network.release(owner)
        try:
            self._network.reserve(owner, moved.route, spec.reserved_kbps, key_rate_millibps, is_kept=is_kept)
        except OverCommitted:
            self._network.reserve(owner, moved.route, spec.reserved_kbps, 0)
            raise
        return moved
