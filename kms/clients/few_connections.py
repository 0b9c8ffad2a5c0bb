"""A client's connections to its KME: as few as serve it, each in little memory.

aiohttp gives out first the connection that has been idle longest, so each has its turn and none is ever idle long
enough to be closed: whoever once had many requests at the same time would keep a connection for each of them for good.
"""

from __future__ import annotations

from asyncio import sslproto
from typing import Any

import aiohttp

MOST_CONNECTIONS = 8
"""To one KME. More requests at the same time wait for their turn; one may take 2 s, while QKD sections make key. Each
connection takes some 50 KB at either end, and a machine that has stood still asks for many keys at once.
"""

BUFFER_BYTES = 32 * 1024
"""For what a connection receives at once: more than a TLS record has (RFC 8446, 5.1)."""


class LatestFirst(aiohttp.BaseConnector):
    """Gives out the idle connection that was used last; those that were only wanted once are closed in time."""

    async def _get(self, key: Any, traces: Any) -> Any:
        # The order of the idle ones is aiohttp's own matter: it takes the first, and puts what comes back at the end.
        idle = self._conns.get(key)
        if idle:
            idle.rotate(1)
        return await super()._get(key, traces)


class KmeConnector(LatestFirst, aiohttp.TCPConnector):
    """To a KME with an address of its own."""


def keep_buffers_small() -> None:
    """For all TLS connections that this process will have: asyncio writes zeros into 256 KB for each of them."""
    sslproto.SSLProtocol.max_size = BUFFER_BYTES
