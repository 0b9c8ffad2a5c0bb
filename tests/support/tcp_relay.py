"""``python -m tests.support.tcp_relay HOST:PORT=HOST:PORT ...``: what comes to the one is passed on to the other."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from scripts.testbed.life.kme_doors import pass_on


async def _serve(pairs: list[str]) -> None:
    for pair in pairs:
        (here, port), (there, far_port) = (each.rsplit(":", 1) for each in pair.split("="))
        await asyncio.start_server(partial(pass_on, host=there, port=int(far_port)), here, int(port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
