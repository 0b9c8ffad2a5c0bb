"""The one timer of a connection, on a real event loop."""

from __future__ import annotations

import asyncio
import math

from kms.tunnel.agent.wake_up import WakeUp


def test_it_rings_once_at_the_last_time_set_and_can_be_set_from_its_own_call() -> None:
    async def times() -> tuple[list[float], float]:
        loop, rung = asyncio.get_running_loop(), list[float]()
        begun = loop.time()

        def ring() -> None:
            rung.append(loop.time() - begun)
            assert wake_up.at == math.inf
            if len(rung) == 1:
                wake_up.set(begun + 0.06)

        wake_up = WakeUp(loop, ring)
        wake_up.set(begun + 60.0)
        wake_up.set(begun + 0.02)
        await asyncio.sleep(0.2)
        wake_up.set(loop.time() + 0.01)
        wake_up.cancel()
        await asyncio.sleep(0.05)
        return rung, wake_up.at

    rung, at = asyncio.run(times())
    assert len(rung) == 2
    assert rung[0] >= 0.02
    assert rung[1] >= 0.06
    assert at == math.inf
