"""The agent of one host: its connections by id, and the operations on them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

from kms.tunnel.agent import prometheus
from kms.tunnel.agent.change_log import ChangeLog
from kms.tunnel.agent.clear_connection import ClearConnection
from kms.tunnel.agent.esp_connection import EspConnection
from kms.tunnel.agent.host_keeper import HostKeeper
from kms.tunnel.agent.keylog import KeyLog
from kms.tunnel.agent.kme_client import KeyClient
from kms.tunnel.agent.loop_lag import LagMeter
from kms.tunnel.agent.stats import watched
from kms.tunnel.config import AgentConfig, ConnectionConfig
from kms.tunnel.dataplane import addressing, kernel_host, xfrm
from kms.tunnel.dataplane.kernel import KernelPlane
from kms.tunnel.dataplane.underlay_filter import UnderlayGuard
from kms.tunnel.errors import ConfigurationError, Conflict, NotFound, Unavailable
from kms.tunnel.packet.cipher_suites import SUITES, Suite
from kms.tunnel.protocol.session import RECONFIGURABLE

logger = logging.getLogger(__name__)

MODIFIABLE = (*RECONFIGURABLE, "rate_kbps")
_OWN = ("port", "interface", "local_address", "peer_address", "local_address6", "peer_address6")
PROBE_SPACING_S = 0.005  # on average between the probes of a host's connections

Connection = EspConnection | ClearConnection


class Agent:
    """Adds, removes and reports connections. Operations on one id come one after the other."""

    def __init__(self, config: AgentConfig, keys: KeyClient, suites: Mapping[str, Suite] = SUITES) -> None:
        self._config = config
        self._keys = keys
        self._suites = suites
        self._connections: dict[str, Connection] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()  # who has a turn or waits for it
        self._changes = ChangeLog(uuid.uuid4().hex)
        self._reserved: dict[str, ConnectionConfig] = {}
        self._keylog: KeyLog | None = None
        self._lag = LagMeter()
        self._kernel_lacks: str | None = "not looked at"
        self._guard = UnderlayGuard(config.underlay_interface)
        self._keeper = HostKeeper(config, self._guard, self._connections.values)

    def start(self) -> None:
        """Check the host. Raises ConfigurationError or Unavailable."""
        addressing.interface_mtu(self._config.underlay_interface)
        self._choose_data_plane()
        if self._config.unsafe_keylog is not None:
            self._keylog = KeyLog(self._config.unsafe_keylog)
        self._guard.filter_sources()
        try:
            self._keeper.start()
        except OSError as error:
            raise Unavailable(f"the host's interfaces cannot be read: {error.strerror}") from error

    def _choose_data_plane(self) -> None:
        wanted = self._config.data_plane
        if wanted == "userspace":
            self._kernel_lacks = "userspace was asked for"
            return
        self._kernel_lacks = kernel_host.probe(self._config.underlay_interface)
        if self._kernel_lacks is None:
            kernel_host.sweep()
            self._guard.keep_policies()
            logger.info("the kernel seals and opens (%s)", wanted)
        elif wanted == "kernel":
            raise Unavailable(f"data_plane: the kernel cannot carry tunnels: {self._kernel_lacks}")
        else:
            logger.info("the userspace tunnel is used: %s", self._kernel_lacks)

    async def close(self) -> None:
        """Remove every connection and everything that was set on the host."""
        self._lag.stop()
        self._keeper.stop()
        await asyncio.gather(*(self.remove(connection_id) for connection_id in list(self._connections)))
        self._guard.withdraw()
        if self._keylog is not None:
            self._keylog.close()
            self._keylog = None

    async def add(self, config: ConnectionConfig) -> dict[str, Any]:
        """Idempotent for the same configuration; Conflict for another one under the same id, port or interface."""
        self._check_suite(config)
        async with self._turn(config.id):
            existing = self._connections.get(config.id)
            if existing is not None:
                if existing.config != config:
                    raise Conflict("connection", f"{config.id} exists with another configuration")
                return {**_summary(existing), "created": False}
            self._check_free(config)
            self._reserved[config.id] = config
            try:
                if config.local_address6 is not None:
                    self._guard.refuse_ipv6()
                connection = self._make(config, partial(self._changes.note, config.id))
                await connection.open()
                self._connections[config.id] = connection
                self._adjust_to_number()
                self._changes.note(config.id)
            finally:
                del self._reserved[config.id]
            logger.info("connection %s added (%s, %s)", config.id, config.mode, config.key_source)
            return {**_summary(connection), "created": True}

    async def modify(self, config: ConnectionConfig) -> dict[str, Any]:
        """Other keys for a connection that goes on. NotFound; Conflict when more than its keys would change."""
        self._check_suite(config)
        async with self._turn(config.id):
            existing = self._find(config.id)
            if (
                config.model_copy(update={name: getattr(existing.config, name) for name in MODIFIABLE})
                != existing.config
            ):
                names = ", ".join(MODIFIABLE)
                raise Conflict("connection", f"{config.id} exists, and nothing but {names} can be modified")
            if existing.config != config:
                lacks = self._plane_lacks(existing, config)
                if lacks is None:
                    existing.modify(config)
                else:
                    existing = await self._carry_otherwise(existing, config, lacks)
                logger.info("connection %s modified (%s)", config.id, config.key_source)
            return _summary(existing)

    def _plane_lacks(self, existing: Connection, config: ConnectionConfig) -> str | None:
        """Why what carries the connection cannot carry it as it shall be from now on."""
        if existing.stats().get("data_plane") != KernelPlane.name:
            return None
        # A wider window than the kernel has is no reason to stop packets: it keeps the widest that it has.
        window = min(config.replay_window, xfrm.MAX_REPLAY_WINDOW)
        return kernel_host.refuses(config.model_copy(update={"replay_window": window}))

    async def _carry_otherwise(self, existing: Connection, config: ConnectionConfig, lacks: str) -> Connection:
        """The connection made anew in user space. Unavailable when the agent is to use the kernel alone."""
        if self._config.data_plane == "kernel":
            raise Unavailable(f"the kernel cannot carry {config.id}: {lacks}")
        logger.warning("connection %s leaves the kernel for user space: %s", config.id, lacks)
        del self._connections[config.id]
        self._reserved[config.id] = config
        try:
            await existing.close()
            made = self._make(config, partial(self._changes.note, config.id), in_kernel=False)
            await made.open()
            self._connections[config.id] = made
            self._adjust_to_number()
        finally:
            del self._reserved[config.id]
            self._changes.note(config.id)
        return made

    async def remove(self, connection_id: str) -> dict[str, Any]:
        """NotFound when there is none of that id."""
        async with self._turn(connection_id):
            connection = self._connections.pop(connection_id, None)
            if connection is not None:
                await connection.close()
                self._adjust_to_number()
                self._changes.forget(connection_id)
                logger.info("connection %s removed", connection_id)
        if connection is None:
            raise NotFound(f"no connection {connection_id}")
        return {"connection_id": connection_id, "removed": True}

    async def wait_up(self, connection_id: str, timeout_s: float) -> dict[str, Any]:
        """Unavailable when its first SA is not usable both ways within ``timeout_s``."""
        connection = self._find(connection_id)
        await connection.wait_up(timeout_s)
        return _summary(connection)

    async def watch(self, since: str | None, timeout_s: float) -> dict[str, Any]:
        """What has changed after the token ``since``, as soon as something has; nothing when the time is up."""
        await self._changes.wait(since, timeout_s)
        changed = self._changes.since(since)
        return {
            "token": self._changes.token,
            "connections": {
                connection_id: watched(connection.stats())
                for connection_id, connection in self._connections.items()
                if changed is None or connection_id in changed
            },
        }

    def stats(self) -> dict[str, Any]:
        return {"connections": {connection_id: c.stats() for connection_id, c in self._connections.items()}}

    def list(self) -> dict[str, Any]:
        return {
            "connections": [
                {**c.config.model_dump(mode="json"), **{name: stats[name] for name in ("state", "keys_in_use")}}
                for c, stats in ((c, c.stats()) for c in self._connections.values())
            ]
        }

    def metrics(self) -> str:
        """Prometheus text."""
        return prometheus.render(self._config.host, self.stats()["connections"], self._lag.histogram)

    def _find(self, connection_id: str) -> Connection:
        connection = self._connections.get(connection_id)
        if connection is None:
            raise NotFound(f"no connection {connection_id}")
        return connection

    def _check_suite(self, config: ConnectionConfig) -> None:
        if config.suite not in self._suites:
            there = ", ".join(self._suites)
            raise ConfigurationError("connection.suite", f"there is no suite {config.suite!r}; there are {there}")

    def _check_free(self, config: ConnectionConfig) -> None:
        taken = [connection.config for connection in self._connections.values()] + list(self._reserved.values())
        for other in taken:
            for name in _OWN:
                wanted = getattr(config, name)
                if wanted is not None and getattr(other, name) == wanted:
                    raise Conflict(f"connection.{name}", f"{wanted} belongs to {other.id}")

    @contextlib.asynccontextmanager
    async def _turn(self, connection_id: str) -> AsyncIterator[None]:
        """One operation on an id at a time. The lock lives as long as somebody has it or waits for it."""
        self._users[connection_id] += 1
        try:
            async with self._turns.setdefault(connection_id, asyncio.Lock()):
                yield
        finally:
            self._users[connection_id] -= 1
            if not self._users[connection_id]:
                del self._users[connection_id], self._turns[connection_id]

    def _make(
        self, config: ConnectionConfig, on_change: Callable[[], None], in_kernel: bool | None = None
    ) -> Connection:
        probe_s = self._probe_period(config)
        if config.mode == "clear":
            return ClearConnection(
                config, underlay_interface=self._config.underlay_interface, probe_s=probe_s, on_change=on_change
            )
        return EspConnection(
            config,
            local_sae=self._config.sae_id,
            underlay_interface=self._config.underlay_interface,
            underlay_address=self._config.underlay_address,
            keys=self._keys,
            keylog=self._keylog,
            probe_s=probe_s,
            on_change=on_change,
            in_kernel=self._is_for_kernel(config) if in_kernel is None else in_kernel,
            suites=self._suites,
        )

    def _adjust_to_number(self) -> None:
        """There are more connections, or fewer. Without any nobody waits for the loop.

        Many are probed less often each: what they cost together stays bounded.
        """
        if self._connections:
            self._lag.start()
        else:
            self._lag.stop()
        for connection in self._connections.values():
            connection.pace_probes(self._probe_period(connection.config))

    def _probe_period(self, config: ConnectionConfig) -> float:
        if config.probe_s is not None:
            return config.probe_s
        wanted = self._config.probe_s
        return max(wanted, len(self._connections) * PROBE_SPACING_S) if wanted else 0.0

    def _is_for_kernel(self, config: ConnectionConfig) -> bool:
        lacks = self._kernel_lacks or kernel_host.refuses(config)
        if lacks is not None and self._config.data_plane == "kernel":
            raise Unavailable(f"the kernel cannot carry {config.id}: {lacks}")
        return lacks is None


def _summary(connection: Connection) -> dict[str, Any]:
    stats = connection.stats()
    return {
        "connection_id": connection.config.id,
        "mode": connection.config.mode,
        "interface": connection.config.interface if connection.config.mode == "esp" else None,
        "mtu": stats["mtu"],
        "state": stats["state"],
    }
