"""Doors from hosts' namespaces to vendors' KMEs: Unix sockets whose listener passes everything on over this machine's
own network. TLS ends in the hosts' agents: what passes here is ciphertext.

``python -m scripts.testbed.life.kme_doors --config FILE`` serves until SIGTERM; the file is a list of ``socket``,
``host``, ``port``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

log = logging.getLogger("qslice.kme_doors")

CONNECT_TIMEOUT_S = 5.0
CHUNK = 1 << 16


async def serve(doors: list[dict[str, Any]], stop: asyncio.Event) -> None:
    """Open all doors, and close them when told to stop. OSError when one cannot be opened."""
    async with contextlib.AsyncExitStack() as stack:
        for door in doors:
            path = Path(door["socket"])
            path.unlink(missing_ok=True)
            to_kme = partial(pass_on, host=str(door["host"]), port=int(door["port"]))
            before = os.umask(0o177)
            try:
                server = await asyncio.start_unix_server(to_kme, path)
            finally:
                os.umask(before)
            stack.callback(server.close)
        await stop.wait()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, port: int) -> None:
    """One connection, until either side ends it."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            far_reader, far_writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        log.warning("%s:%d: %s", host, port, error or "no answer")
        writer.close()
        return
    ways = [asyncio.ensure_future(_pump(reader, far_writer)), asyncio.ensure_future(_pump(far_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        writer.close()
        far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()


async def _run(doors: list[dict[str, Any]]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(doors, stop)


def main() -> int:
    """Status 1 when a door cannot be opened."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_run(json.loads(parser.parse_args().config.read_text(encoding="utf-8"))))
    except OSError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
