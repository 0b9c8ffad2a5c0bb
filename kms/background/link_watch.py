"""Watches links and pools and tells what changes: link_down, link_perf_update, link_overloaded, pool states.

:func:`link_changes` is pure: it compares two looks at the same link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kms.admission.key_rate_reservations import Applications
from kms.event_log import EventLog, Notification
from kms.keys.inventory import KeyInventory, PoolState
from kms.qkdnet.qkd_network import QkdNetwork

INTERVAL_S = 0.5
# A link's rate has changed when it differs by so much of what was last told: an estimate from samples always moves.
TOLD_CHANGE = 0.2


@dataclass(frozen=True)
class LinkView:
    is_usable: bool
    skr_bps: float
    expected_consumption_bps: float

    @property
    def is_overloaded(self) -> bool:
        return self.is_usable and self.expected_consumption_bps > self.skr_bps


def link_changes(link_id: str, before: LinkView | None, now: LinkView) -> Iterator[tuple[Notification, dict[str, Any]]]:
    """What is to be told of a link; ``before`` is how it was last told, None if never."""
    about = {
        "qkdl_id": link_id,
        "qkdl_status": "ACTIVE" if now.is_usable else "OFF",
        "skr": round(now.skr_bps, 1),
        "expected_consumption": round(now.expected_consumption_bps, 1),
    }
    if before is None:
        return
    if before.is_usable and not now.is_usable:
        yield Notification.LINK_DOWN, about
    elif before.is_usable != now.is_usable or abs(now.skr_bps - before.skr_bps) > TOLD_CHANGE * before.skr_bps:
        yield Notification.LINK_PERF_UPDATE, about
    if now.is_overloaded and not before.is_overloaded:
        yield Notification.LINK_OVERLOADED, about


class Watcher:
    def __init__(
        self,
        network: QkdNetwork,
        applications: Applications,
        inventory: Callable[[], KeyInventory],
        pool_target: int,
        events: EventLog,
        clock: Callable[[], float],
    ) -> None:
        self._network = network
        self._applications = applications
        self._inventory = inventory
        self._pool_target = pool_target
        self._events = events
        self._clock = clock
        self._links: dict[str, LinkView] = {}
        self._pools: dict[str, PoolState] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(INTERVAL_S)

    def look(self) -> None:
        for link_id, view in self._views().items():
            before = self._links.get(link_id)
            told = False
            for kind, about in link_changes(link_id, before, view):
                self._events.tell(self._clock(), kind, **about)
                told = True
            if before is None or told or before.is_overloaded != view.is_overloaded:
                self._links[link_id] = view
        inventory = self._inventory()
        for pool_id in inventory.pool_ids:
            name = f"{pool_id.a}/{pool_id.b}/{pool_id.source.label}"
            state = PoolState.of(inventory.stored(pool_id), self._pool_target)
            if self._pools.get(name, state) is not state:
                self._events.tell(self._clock(), Notification.POOL_STATE, pool=name, state=state.value)
            self._pools[name] = state

    def _views(self) -> Mapping[str, LinkView]:
        return {
            link.link_id: LinkView(
                self._network.is_link_usable(link),
                self._network.link_skr_bps(link),
                max(self._applications.expected_consumption_bps(section) for section in link.sections),
            )
            for link in self._network.links
        }
