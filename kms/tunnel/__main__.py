"""``python -m kms.tunnel --config FILE``: one host's tunnel agent, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from pathlib import Path

from kms.tunnel.process import run_agent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kms.tunnel", description="The encrypting tunnel of one host.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON: docs/explanation/tunnel.md")
    parser.add_argument("--verbose", action="store_true", help="log what happens to each connection in detail")
    options = parser.parse_args(arguments)
    # What has been imported stays. To go through it for garbage, most of it numba's, would stop all packets for 65 ms.
    gc.freeze()
    return run_agent(options.config, logging.DEBUG if options.verbose else logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
