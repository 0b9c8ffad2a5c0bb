"""``python -m controller.layers.device --config FILE``: one site's device."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import paramiko

from controller.device_model.entries import SwitchModel
from controller.device_model.kinds import DeviceKind
from controller.layers.device.bridge import Bridge
from controller.layers.device.config import DeviceConfig, load_config
from controller.layers.device.running import Running
from controller.layers.device.schema import Schema
from controller.layers.device.server import NetconfServer
from controller.log_lines import configure_logging
from controller.model.errors import ConfigError

log = logging.getLogger(__name__)
EXIT_WRONG_CONFIG, EXIT_CANNOT_RUN = 2, 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m controller.layers.device", description="QSlice network device")
    parser.add_argument("--config", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    configure_logging(logging.INFO)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # who does not come to be heard is told of by us
    try:
        serve(load_config(arguments.config))
    except ConfigError as error:
        log.error("%s", error)
        return EXIT_WRONG_CONFIG
    except (OSError, paramiko.SSHException, ValueError) as error:
        log.error("%s", error)
        return EXIT_CANNOT_RUN
    return 0


def serve(config: DeviceConfig) -> None:
    """Until SIGTERM or SIGINT."""
    schema = Schema()
    running = Running(
        SwitchModel(config.site, config.interfaces),
        schema,
        Bridge(config.site, config.bridge_socket),
        {DeviceKind.ETHERNET: config.ethernet_s, DeviceKind.OPTICAL: config.optical_s},
        has_optical_switch=config.optical_switch,
    )
    server = NetconfServer((config.host, config.port), config.host_key, config.authorized_keys, running, schema)

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    log.info("device of %s: NETCONF on %s port %d", config.site, *server.address)
    server.serve()


if __name__ == "__main__":
    sys.exit(main())
