"""The cards of one site, and what they hear of the kernel together."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from kms.tunnel.agent.change_log import ChangeLog
from kms.tunnel.agent.keylog import KeyLog
from kms.tunnel.agent.kme_client import KeyClient
from kms.tunnel.agent.loop_lag import LagMeter
from kms.tunnel.cards import prometheus
from kms.tunnel.cards.card import Card
from kms.tunnel.cards.config import ReportRequest, ShelfConfig, WatchRequest, parse_request
from kms.tunnel.cards.line import made_in
from kms.tunnel.dataplane.host_events import HostEvents
from kms.tunnel.errors import Unavailable

logger = logging.getLogger(__name__)

_WATCHED = ("state", "key_source", "has_light", "reachable", "clients", "last_error")


class Shelf:
    """Opens and closes its cards together, and answers for them."""

    def __init__(self, config: ShelfConfig, keys: KeyClient) -> None:
        self._config, self._keys = config, keys
        self._loop = asyncio.get_running_loop()
        self._cards: dict[str, Card] = {}
        self._events: list[HostEvents] = []
        self._changes = ChangeLog(uuid.uuid4().hex)
        self._keylog: KeyLog | None = None
        self._lag = LagMeter()
        self._kernel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._is_due = False

    def start(self) -> None:
        """Raises TunnelError; :meth:`close` is to follow in any case."""
        if self._config.unsafe_keylog is not None:
            self._keylog = KeyLog(self._config.unsafe_keylog)
        try:
            self._listen()
        except OSError as error:
            raise Unavailable(f"changes of links are not told: {error.strerror}") from error
        interfaces = frozenset(name for _, name in socket.if_nameindex())
        for config in self._config.cards:
            name = config.wavelength
            self._cards[name] = Card(config, self._config, self._keys, self._keylog, partial(self._changes.note, name))
            self._cards[name].open(interfaces)
        self._look()
        if self._cards:
            self._lag.start()

    def _listen(self) -> None:
        own = Path("/proc/thread-self/ns/net")
        for namespace in dict.fromkeys((own, *(card.line.namespace for card in self._config.cards))):
            events = HostEvents() if namespace == own else made_in(namespace, HostEvents)
            self._events.append(events)
            self._loop.add_reader(events.fileno(), partial(self._hear, events))

    def _hear(self, events: HostEvents) -> None:
        events.drain()
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._is_due = False
        for card in self._cards.values():
            card.look(self._kernel)

    async def close(self) -> None:
        """All clients lose their carrier, all keys are forgotten."""
        self._lag.stop()
        for events in self._events:
            self._loop.remove_reader(events.fileno())
            events.close()
        self._events = []
        await asyncio.gather(*(card.close() for card in self._cards.values()))
        self._kernel.close()
        if self._keylog is not None:
            self._keylog.close()
            self._keylog = None

    # What it is asked

    async def carry_out(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The result of one request. Raises ConfigurationError."""
        match parse_request(raw):
            case WatchRequest(since=since, timeout_s=timeout_s):
                return await self._watch(since, timeout_s)
            case ReportRequest(op="stats"):
                return {"cards": self._stats()}
            case ReportRequest(op="list"):
                return {"cards": [card.config.model_dump(mode="json") for card in self._cards.values()]}
            case ReportRequest():
                return {"text": prometheus.render(self._config.shelf, self._stats(), self._lag.histogram)}

    def _stats(self) -> dict[str, dict[str, Any]]:
        return {name: card.stats() for name, card in self._cards.items()}

    async def _watch(self, since: str | None, timeout_s: float) -> dict[str, Any]:
        await self._changes.wait(since, timeout_s)
        changed = self._changes.since(since)
        return {
            "token": self._changes.token,
            "cards": {
                name: {field: stats[field] for field in _WATCHED}
                for name, stats in self._stats().items()
                if changed is None or name in changed
            },
        }
