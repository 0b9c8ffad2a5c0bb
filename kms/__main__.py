"""``python -m kms --config FILE [--site SITE]``: the KMS process.

Exit status 0 after SIGINT or SIGTERM, 2 for a wrong configuration, 1 for anything else in the way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import signal
import sys
from pathlib import Path

import uvloop

from kms.config import KmsConfig, load_config
from kms.errors import ConfigError, KmsError
from kms.log_lines import configure_logging
from kms.process import start

# Between threads: short, so that a request does not wait for the quantum sections' Python code.
_SWITCH_INTERVAL_S = 0.0002


async def _serve(config: KmsConfig, site: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    kms = await start(config, site)
    gc.freeze()  # what has been imported stays: nobody goes through it for garbage, among the keys that come and go
    try:
        await stop.wait()
    finally:
        await kms.close()


def _allow_many_connections() -> None:
    """As many as the system lets us have: the usual soft limit, 1,024 files, is reached by a thousand idle clients."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kms", description="QSlice key management service")
    parser.add_argument("--config", type=Path, required=True, help="configuration, a JSON file")
    parser.add_argument("--site", help="run the KME of this site alone; the others are processes of their own")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    options = parser.parse_args(arguments)
    configure_logging(options.log_level)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _allow_many_connections()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(load_config(options.config), options.site))
    except ConfigError as error:
        sys.stderr.write(f"kms: {error}\n")
        return 2
    except (KmsError, OSError) as error:
        sys.stderr.write(f"kms: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
