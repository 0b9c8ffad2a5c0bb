"""Keeps the host as its connections need it: what somebody changes by hand is put right, or told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from kms.tunnel.config import AgentConfig
from kms.tunnel.dataplane import host_state
from kms.tunnel.dataplane.host_events import HostEvents
from kms.tunnel.dataplane.host_state import HostState
from kms.tunnel.dataplane.underlay_filter import UnderlayGuard
from kms.tunnel.errors import Unavailable

logger = logging.getLogger(__name__)

PERIOD_S = 1.0


class Healed(Protocol):
    """A connection that puts its own part right."""

    def heal(self, host: HostState, warning: str | None) -> bool:
        """``host`` is how things are, ``warning`` what is wrong with the host as a whole and not to be put right.

        Whether all is as it shall be.
        """


def put_right(connection_id: str, lacks: str | None, configure: Callable[[], None]) -> str | None:
    """Have a connection configure anew what it ``lacks`` of the host, if anything; why not, when that is refused."""
    if lacks is None:
        return None
    try:
        configure()
    except Unavailable as error:
        return f"{lacks}: {error}"
    logger.warning("connection %s: %s: put right", connection_id, lacks)
    return None


class HostKeeper:
    """Looks from ``start`` to ``stop``: once a second at settings, which nobody tells of, and at all else when the
    kernel has told of a change or something is still wrong.

    The underlay's interface is not the agent's: that it is down, or carries less than it did, is told and left so.
    """

    def __init__(self, config: AgentConfig, guard: UnderlayGuard, connections: Callable[[], Iterable[Healed]]) -> None:
        self._interface, self._address = config.underlay_interface, config.underlay_address
        self._guard = guard
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._known: bytes | None = None  # the underlay's address, as the kernel had it
        self._mtu = 0
        self._warning: str | None = None
        self._events: HostEvents | None = None
        self._is_due = False

    def start(self) -> None:
        """Raises OSError."""
        self._events = HostEvents()
        asyncio.get_running_loop().add_reader(self._events, self._hear)
        host = host_state.read()
        self._known = host.address(self._interface, self._address)
        self._mtu = host.links[self._interface].mtu
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events)
            self._events.close()
            self._events = None

    def look(self) -> None:
        """Put right what is wrong, and tell the connections the rest."""
        self._is_due = True
        try:
            host = host_state.read()
            warnings = [self._guard.hold(), self._underlay(host)]
        except OSError as error:  # looked at again in a second
            logger.warning("the host's interfaces cannot be read: %s", error.strerror or error)
            return
        warning = ", ".join(each for each in warnings if each) or None
        if warning != self._warning:
            self._warning = warning
            logger.warning("the host: %s", warning or "all is as it shall be again")
        is_well = [connection.heal(host, warning) for connection in self._connections()]
        self._is_due = warning is not None or not all(is_well)

    def _hear(self) -> None:
        assert self._events is not None
        self._events.drain()
        self._is_due = True

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._ring)

    def _ring(self) -> None:
        self._schedule()
        if self._is_due or self._guard.hold() is not None:
            self.look()

    def _underlay(self, host: HostState) -> str | None:
        link = host.links.get(self._interface)
        if link is None:
            return f"{self._interface} is gone"
        if not link.is_up:
            return f"{self._interface} is down"
        if host.address(self._interface, self._address) is None and self._known is not None:
            host_state.restore(self._known)
            logger.warning("%s had been taken from %s and is there again", self._address, self._interface)
        return f"{self._interface} carries {link.mtu} octets instead of {self._mtu}" if link.mtu < self._mtu else None
