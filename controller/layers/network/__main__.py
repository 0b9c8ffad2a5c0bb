"""``python -m controller.layers.network --config FILE``: the controller layer."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from controller.layers.network.config import NetworkConfig, load_config
from controller.layers.network.devices import Devices
from controller.layers.network.rest import RestServer
from controller.log_lines import configure_logging
from controller.model.errors import ConfigError
from controller.northbound.http.token_files import read_or_make_token

log = logging.getLogger(__name__)
EXIT_WRONG_CONFIG, EXIT_CANNOT_RUN = 2, 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m controller.layers.network", description="QSlice controller layer")
    parser.add_argument("--config", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    configure_logging(logging.INFO)
    for noisy in ("paramiko", "ncclient"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        serve(load_config(arguments.config))
    except ConfigError as error:
        log.error("%s", error)
        return EXIT_WRONG_CONFIG
    except OSError as error:
        log.error("%s", error)
        return EXIT_CANNOT_RUN
    return 0


def serve(config: NetworkConfig) -> None:
    """Until SIGTERM or SIGINT."""
    token = read_or_make_token(config.token_file)
    server = RestServer((config.host, config.port), Devices(config.devices, config.client_key), token)

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    log.info("controller layer: http://%s:%d", *server.server_address[:2])
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
