"""A connection whose security is none: no tunnel, its address stands on the underlay."""

from __future__ import annotations

from typing import Any

from kms.tunnel import addressing
from kms.tunnel.config import ConnectionConfig


class ClearConnection:
    """An address and a route on the underlay; the peer's address is found by ARP."""

    def __init__(self, config: ConnectionConfig, *, underlay_interface: str) -> None:
        self.config = config
        self._interface = underlay_interface
        self._mtu = addressing.interface_mtu(underlay_interface)
        self._is_up = False

    async def open(self) -> None:
        try:
            addressing.configure_clear(self._interface, self.config.local_address, self.config.peer_address)
        except BaseException:
            await self.close()
            raise
        self._is_up = True

    def modify(self, config: ConnectionConfig) -> None:
        """It has no keys that could be others."""
        self.config = config

    async def close(self) -> None:
        self._is_up = False
        addressing.unconfigure_clear(self._interface, self.config.local_address, self.config.peer_address)

    async def wait_up(self, timeout_s: float) -> None:
        """It is up as soon as it is there."""

    def stats(self) -> dict[str, Any]:
        return {"state": "up" if self._is_up else "closed", "mode": "clear", "key_source": "none", "mtu": self._mtu}
