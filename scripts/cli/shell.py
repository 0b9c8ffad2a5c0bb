"""Mininet's shell over a run: what a user types ends neither the shell nor the network.

Commands of Mininet's own that would measure or change something past the controller are done over the slices'
connections instead, or say which command does it.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from mininet.cli import CLI
from mininet.log import error, lg, output
from mininet.net import Mininet

from scripts.errors import CommandError
from scripts.measure.connection import Connection, connections_of
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.iperf import iperf_together
from scripts.measure.programs.ping import ping_all
from scripts.testbed.clients import every_slice
from scripts.testbed.interrupts import Ended
from scripts.testbed.running_system import RunningSystem

PINGS = 5
LOOK_EVERY_MS = 500
ENDS_ITS_SHELL = re.compile(r"\s*(exit|logout|exec)\b")


class NetworkShell(CLI):  # type: ignore[misc]
    """Returns when the user leaves, or when there is nothing left to read."""

    def __init__(self, network: Mininet, system: RunningSystem, **options: Any) -> None:
        self._system = system
        lg.propagate = False  # it writes for itself: what the shell says would come a second time
        super().__init__(network, stdin=sys.stdin, **options)

    def run(self) -> None:
        """Ctrl-C ends a command, a signal to end the whole."""
        while True:
            try:
                self._interrupt_hosts()
                if self.isatty():
                    subprocess.run(["stty", "echo", "sane", "intr", "^C"], check=False, capture_output=True)
                self.cmdloop()
            except Ended:
                raise
            except KeyboardInterrupt:
                output("\nInterrupt\n")
            except (OSError, EOFError):  # the terminal is gone
                return
            else:
                return

    def onecmd(self, line: str) -> bool | None:
        """Whether that was the last one. An error of a command is told, and the next is waited for."""
        try:
            last: bool | None = super().onecmd(line)
        except SystemExit:  # `py exit()`, `px quit()`
            error("*** leave with `exit`\n")
        except Exception as failure:  # noqa: BLE001 - whatever a user's own code raises
            error(f"*** {type(failure).__name__}: {failure}\n")
        else:
            return last
        if self.isatty():
            subprocess.run(["stty", "echo"], check=False, capture_output=True)
        self._interrupt_hosts()
        return None

    def getLocals(self) -> dict[str, Any]:
        """Names for `py` and `px`. Python's own `exit` would close standard input as well."""
        return {**super().getLocals(), "exit": _leave, "quit": _leave}

    def default(self, line: str) -> None:
        """A command in a host."""
        host, arguments, _ = self.parseline(line)
        if host in self.mn and arguments and ENDS_ITS_SHELL.match(arguments):
            error(f"*** the shell of {host} goes on; leave this one with `exit`\n")
            return
        super().default(line)

    def waitForNode(self, node: Any) -> None:
        """Show what a host's command says until it ends, and give it what is typed meanwhile."""
        poller = select.poll()
        poller.register(node.stdout, select.POLLIN)
        if self.isatty():
            poller.register(self.stdin, select.POLLIN)
            subprocess.run(["stty", "-icanon", "min", "1"], check=False, capture_output=True)
        while node.waiting:
            try:
                ready = [descriptor for descriptor, _ in poller.poll(LOOK_EVERY_MS)]
                if not ready and node.shell.poll() is not None:
                    node.waiting = False
                    error(f"*** the shell of {node.name} has ended; the next command there starts another\n")
                for descriptor in ready:
                    if descriptor == self.stdin.fileno():
                        node.write(os.read(descriptor, 1).decode(errors="replace"))
                    else:
                        output(node.monitor())
            except Ended:
                raise
            except KeyboardInterrupt:
                node.sendInt()

    def _interrupt_hosts(self) -> None:
        for node in self.mn.values():
            if node.waiting and node.shell is not None and node.shell.poll() is None:
                node.sendInt()
                self.waitForNode(node)

    # -- Mininet's own commands, over the slices' connections --------------------------------------

    def do_pingall(self, line: str) -> None:
        """Ping over every connection of every slice."""
        self._ping(self._connections(line.split()))

    def do_pingpair(self, line: str) -> None:
        """Ping over the connections between two hosts: pingpair HOST HOST"""
        self._ping(self._connections(line.split()))

    do_pingallfull, do_pingpairfull = do_pingall, do_pingpair

    def do_iperf(self, line: str) -> None:
        """TCP throughput of connections, one after the other: iperf [HOST HOST]"""
        for connection in self._connections(line.split()):
            found = iperf_together(self._system, [connection])[connection.id]
            _tell(connection, found if isinstance(found, MeasurementError) else f"{found.received_mbps:.1f} Mbit/s")

    def do_iperfudp(self, _line: str) -> None:
        """Not here: see iperf."""
        error("*** `iperf` measures TCP; for UDP: HOST iperf3 -u -c ADDRESS, with `iperf3 -s` on the other host\n")

    def do_link(self, _line: str) -> None:
        """Not here: sites are joined by several channels, each with an id."""
        error("*** one channel: scripts/qslice link down|up|blackhole ID; their ids: scripts/qslice link list\n")

    def do_switch(self, _line: str) -> None:
        """Not here: a switch that was stopped would not come back with its controller."""
        error("*** a site's switch: scripts/qslice node down|up SITE\n")

    def _ping(self, connections: Iterable[Connection]) -> None:
        asked = list(connections)
        for connection, found in zip(asked, ping_all(self._system, asked, PINGS).values(), strict=True):
            if isinstance(found, MeasurementError):
                _tell(connection, found)
            else:
                times = "" if found.avg_ms is None else f", {found.avg_ms:.1f} ms"
                _tell(connection, f"{found.received} of {found.sent} came back{times}")

    def _connections(self, hosts: list[str]) -> list[Connection]:
        if len(hosts) not in (0, 2) or not all(self._system.topology.has_site(host) for host in hosts):
            error(f"*** name two hosts, or none for all; there are {' '.join(self._system.topology.site_names)}\n")
            return []
        status, slices = every_slice(self._system.api)
        if status != 200:
            raise CommandError(f"the controller answered {status}")
        found = [
            connection
            for each in slices
            for connection in connections_of(each, each["request"])
            if not hosts or {connection.src, connection.dst} == set(hosts)
        ]
        if not found:
            which = f"joins {' and '.join(hosts)}" if hosts else "is there"
            error(f"*** no slice {which}: hosts reach each other over slices alone (scripts/qslice slice create)\n")
        return found


def _leave(*_: object) -> None:
    raise SystemExit


def _tell(connection: Connection, what: object) -> None:
    output(f"{connection.id} {connection.src} -> {connection.dst}: {what}\n")
