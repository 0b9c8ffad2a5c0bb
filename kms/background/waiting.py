"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio
import contextlib


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event is set or the time is over."""
    # Not asyncio.wait_for: before Python 3.12 it forgets a cancellation that comes together with the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
