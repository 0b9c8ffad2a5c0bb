"""Key streams (ETSI GS QKD 004) that nobody uses any more end, and give back what they reserved."""

from __future__ import annotations

import asyncio
import logging

from kms.delivery.stream_service import KeyStreams

_log = logging.getLogger(__name__)

INTERVAL_S = 5.0


async def expire_streams(streams: KeyStreams) -> None:
    """End the streams whose lease is over, until cancelled."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        count = await streams.expire()
        if count:
            _log.info("%d key streams were not used for their lease, and ended", count)
