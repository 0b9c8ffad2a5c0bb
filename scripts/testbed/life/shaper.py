"""Loss, delay and jitter without netem: the packets that ports send are led here, and sent on later, or not at all.

``python -m scripts.testbed.life.shaper --config FILE`` shapes until SIGTERM, and everything is as before when it ends,
however it ends. The file: ``generation``, ``ready`` (where to write it when all is in place), and ``ports``, each with
``interface``, ``loss_pct``, ``delay_ms``, ``jitter_ms``. Rates are the ports' own, which packets pass afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import heapq
import json
import logging
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topologies import tcx
from topologies.links import CHANNEL_MTU, QUEUE_PACKETS

log = logging.getLogger("qslice.shaper")

MARK = 0x51534C  # of packets that have been here
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_SO_MARK, _SO_SNDBUFFORCE = 36, 32
_SEND_BYTES = 16 << 20  # what may wait in the port's own queue
_FRAME_BYTES = 1 << 16
_AT_ONCE = 64  # frames of one port before the others'


@dataclass
class Port:
    """A port's packets come in at ``tap`` and leave at ``out``."""

    tap: int
    out: socket.socket
    program: int
    loss: float
    delay_s: float
    jitter_s: float

    def due(self, now: float, chance: random.Random) -> float | None:
        """When a packet that comes now is to leave; None: never."""
        if chance.random() < self.loss:
            return None
        return now + max(0.0, self.delay_s + chance.uniform(-self.jitter_s, self.jitter_s))


def open_port(number: int, asked: dict[str, Any]) -> Port:
    """Lead an interface's packets here. OSError."""
    tap, name = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC), f"qs-imp{number}"
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1", encoding="ascii")
    size = ["mtu", str(CHANNEL_MTU), "txqueuelen", str(QUEUE_PACKETS)]
    subprocess.run(["ip", "link", "set", "dev", name, *size, "up"], check=True)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    out.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
    out.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BYTES)
    out.bind((asked["interface"], 0))
    out.setblocking(False)
    program = tcx.redirect(socket.if_nametoindex(asked["interface"]), socket.if_nametoindex(name), MARK)
    delay_s, jitter_s = asked["delay_ms"] / 1000, asked["jitter_ms"] / 1000
    return Port(tap, out, program, asked["loss_pct"] / 100, delay_s, jitter_s)


def shape(ports: list[Port], chance: random.Random) -> None:
    """For ever: each packet in its time, those of one time in their order."""
    waiting: list[tuple[float, int, Port, bytes]] = []
    by_tap, count = {port.tap: port for port in ports}, 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, port, frame = heapq.heappop(waiting)
            with contextlib.suppress(OSError):  # the port is full, or has no carrier: it is lost, as in any queue
                port.out.send(frame)
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for tap in select.select(list(by_tap), (), (), timeout)[0]:
            port = by_tap[tap]
            for frame in _frames(tap):
                due = port.due(time.monotonic(), chance)
                if due is not None and len(waiting) < QUEUE_PACKETS:
                    count += 1
                    heapq.heappush(waiting, (due, count, port, frame))


def _frames(tap: int) -> list[bytes]:
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < _AT_ONCE:
            found.append(os.read(tap, _FRAME_BYTES))
    return found


def main() -> int:
    """Status 1 when an interface cannot be shaped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = json.loads(parser.parse_args().config.read_text(encoding="utf-8"))
    try:
        ports = [open_port(number, asked) for number, asked in enumerate(config["ports"])]
    except (OSError, subprocess.CalledProcessError) as error:
        log.error("%s", error)
        return 1
    Path(config["ready"]).write_text(json.dumps(config["generation"]), encoding="ascii")
    shape(ports, random.Random())  # noqa: S311 - which packets are lost is no secret
    return 0


if __name__ == "__main__":
    sys.exit(main())
