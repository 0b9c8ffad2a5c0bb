"""``capture``: a connection's packets, in its host, on a channel of its path or the line between its cards."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.cli.commands.slices.chosen import PLACE, chosen_connections
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json
from scripts.errors import DidNotHold, EnvironmentLacks, WrongRequest
from scripts.files.results import new_file
from scripts.measure.capture.frames import LINE_PORT
from scripts.measure.connection import Connection
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem

IN_HOST, ON_CHANNEL, ON_LINE = "host", "channel", "line"
UNENCRYPTED_INTERFACE = "data0"
MOST_S = 86_400.0
_COUNT = re.compile(r"^(\d+) packets? captured", re.MULTILINE)
# timeout(1): the time was over; tcpdump that is interrupted ends well.
_TIME_OVER = 124


@dataclass(frozen=True)
class Place:
    """Where packets are taken: the words that lead into a host's namespace, the interface, tcpdump's expression."""

    into: tuple[str, ...]
    interface: str
    expression: str


def _capture(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.seconds is not None and not 0 < arguments.seconds <= MOST_S:
        raise WrongRequest(f"--seconds: {arguments.seconds:g} is not above 0 and at most {MOST_S:g}")
    if arguments.json and arguments.out is None:
        raise WrongRequest("--out: with --json packets go to a file, as they are no JSON")
    system = RunningSystem(running_record(layout), layout)
    found = chosen_connections(system, arguments.slice)
    if len(found) > 1:
        names = ", ".join(connection.id for connection, _ in found)
        raise WrongRequest(f"{PLACE}: name one of {names}")
    connection, view = found[0]
    place = _place(system, connection, view, arguments.at)
    status, said = _taken(place, arguments)
    if status not in (0, _TIME_OVER):
        raise DidNotHold(f"tcpdump ended with status {status}: {said.strip()}")
    counted = _COUNT.search(said)
    packets = int(counted[1]) if counted else None
    if arguments.json:
        print_json({"connection": connection.id, "interface": place.interface, "expression": place.expression,
                    "file": str(arguments.out), "packets": packets})  # fmt: skip
    elif packets is not None:
        where = "" if arguments.out is None else f" in {arguments.out}"
        print(f"{packets} packets of {connection.id} at {place.interface}{where}", file=sys.stderr)
    return 0


def _place(system: RunningSystem, connection: Connection, view: dict[str, Any], at: str) -> Place:
    """In the host what its programs send; on a channel what an eavesdropper sees of it: labels, and ESP in UDP."""
    if at == ON_LINE:
        return _on_the_line(system, connection)
    tunnel = view.get("tunnel")
    if at == IN_HOST:
        ends = f"host {connection.src_address} and host {connection.dst_address}"
        interface = tunnel["interface"] if tunnel else UNENCRYPTED_INTERFACE
        return Place(tuple(system.into(connection.src)), interface, ends)
    channel = connection.path[0] if at == ON_CHANNEL and connection.path else at
    if channel not in connection.path:
        there = ", ".join(connection.path) or "none now"
        raise WrongRequest(f"--at: {at!r} is not host, channel, line or one of the channels of its path: {there}")
    own = f"udp port {tunnel['port']}" if tunnel else f"host {connection.src_address} or host {connection.dst_address}"
    return Place((), system.channel_interfaces(channel)[0], f"({own}) or (vlan and ({own}))")


def _on_the_line(system: RunningSystem, connection: Connection) -> Place:
    """What an eavesdropper sees between the two cards of its first channel's wavelength: that of all their clients."""
    tap = system.tap_of(connection.path[0]) if connection.path else None
    if tap is None or tap.holder is None:
        where = f"on {connection.path[0]}" if connection.path else "without a path"
        raise WrongRequest(f"--at: no cards seal {where} (up --encryption channel|both): use channel")
    return Place(("nsenter", "-t", str(tap.holder), "-n", "--"), tap.interface, f"udp port {LINE_PORT}")


def _taken(place: Place, arguments: argparse.Namespace) -> tuple[int, str]:
    """tcpdump's exit status, and what it said; a file is there, or replaced, when it has ended."""
    if arguments.out is None:
        return _run(_command(place, arguments, None))
    try:
        with new_file(arguments.out) as file:
            return _run(_command(place, arguments, file))
    except OSError as error:
        raise WrongRequest(f"--out: cannot write {arguments.out}: {error.strerror}") from error


def _command(place: Place, arguments: argparse.Namespace, file: Path | None) -> list[str]:
    words = ["tcpdump", "-i", place.interface, "-n", "-U", "--immediate-mode"]
    if arguments.count is not None:
        words += ["-c", str(arguments.count)]
    words += ["-l"] if file is None else ["-w", str(file.absolute()), "-Z", "root"]
    limit = [] if arguments.seconds is None else ["timeout", "--foreground", "--signal=INT", f"{arguments.seconds:g}"]
    return [*limit, *place.into, *words, place.expression]


def _run(words: list[str]) -> tuple[int, str]:
    """Packets go to standard output as they come; what tcpdump says besides is kept. Ctrl-C ends tcpdump, not us."""
    try:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise EnvironmentLacks("tcpdump is not installed: sudo scripts/qslice setup") from None
    said = ""
    while True:
        try:
            _, more = child.communicate()
        except KeyboardInterrupt:
            continue
        return child.returncode, said + (more or "")


HANDLERS: Handlers = {"capture": _capture}
