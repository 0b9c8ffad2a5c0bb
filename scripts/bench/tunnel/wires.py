"""What the tunnels of the benchmark run over: two hosts and a bare veth pair, or four software switches, between them.

qb-PID-a [data0 172.20.0.2] ---- wire ---- [data0 172.20.0.3] qb-PID-b
         [mgmt0 10.254.1.2]                [mgmt0 10.254.2.2]
                    \\                          /
                 [10.254.1.1, 10.254.2.1] qb-PID-k    (the key management)
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from scripts.errors import EnvironmentLacks
from scripts.measure.polling import poll
from scripts.testbed.life.openvswitch import vsctl
from topologies.bridges import remove
from topologies.datapath import ovs_datapath
from topologies.queues import deep_queues

VETH, FABRIC = "veth", "fabric"
KINDS = (VETH, FABRIC)
SWITCHES = 4
ENDS = ("a", "b")
UNDERLAY = {"a": "172.20.0.2", "b": "172.20.0.3"}
KME = {"a": "10.254.1.1", "b": "10.254.2.1"}
MANAGEMENT = {"a": "10.254.1.2", "b": "10.254.2.2"}


class Wire:
    """The network of one part of the benchmark; a context manager that leaves nothing behind."""

    def __init__(self, kind: str, mtu: int) -> None:
        self.kind, self.mtu = kind, mtu
        self._prefix = f"qb-{os.getpid()}"
        self._stack = ExitStack()

    def __enter__(self) -> Wire:
        try:
            self._build()
        except BaseException:  # Ctrl-C among them
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def into(self, end: str) -> list[str]:
        """The words before a command that run it inside the namespace of a, b or k."""
        return ["ip", "netns", "exec", self._namespace(end)]

    def popen(self, end: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.into(end), *argv], **options)

    def run(self, end: str, argv: Sequence[str], timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.into(end), *argv], capture_output=True, text=True, timeout=timeout_s, check=False
        )  # fmt: skip

    def _namespace(self, end: str) -> str:
        return f"{self._prefix}-{end}"

    def _build(self) -> None:
        for end in (*ENDS, "k"):
            _run("ip", "netns", "add", self._namespace(end))
            self._stack.callback(_quietly, "ip", "netns", "del", self._namespace(end))
            _run("ip", "-n", self._namespace(end), "link", "set", "lo", "up")
        for end in ENDS:
            self._join_management(end)
        if self.kind == VETH:
            self._join_directly()
        else:
            with deep_queues():
                self._join_by_switches()
        for end in ENDS:
            namespace = self._namespace(end)
            _run("ip", "-n", namespace, "addr", "add", f"{UNDERLAY[end]}/16", "dev", "data0")
            _run("ip", "-n", namespace, "link", "set", "data0", "mtu", str(self.mtu), "up")
        if not poll(lambda: self.run("a", ("ping", "-c", "1", "-W", "1", UNDERLAY["b"])).returncode == 0, 10.0):
            raise EnvironmentLacks(f"nothing passes over the {self.kind} that the benchmark has built")

    def _join_management(self, end: str) -> None:
        outer, k = self._namespace(end), self._namespace("k")
        _run("ip", "link", "add", "mgmt0", "netns", outer, "type", "veth", "peer", "name", f"kme-{end}", "netns", k)
        for namespace, interface, address in ((outer, "mgmt0", MANAGEMENT[end]), (k, f"kme-{end}", KME[end])):
            _run("ip", "-n", namespace, "addr", "add", f"{address}/30", "dev", interface)
            _run("ip", "-n", namespace, "link", "set", interface, "up")

    def _join_directly(self) -> None:
        a, b = (self._namespace(end) for end in ENDS)
        _run("ip", "link", "add", "data0", "netns", a, "type", "veth", "peer", "name", "data0", "netns", b)

    def _join_by_switches(self) -> None:
        bridges = tuple(f"qb{os.getpid()}s{n}" for n in range(SWITCHES))
        self._stack.callback(remove, bridges)
        datapath = ovs_datapath()
        for bridge in bridges:
            vsctl("--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, f"datapath_type={datapath}")
        for n, (left, right) in enumerate(itertools.pairwise(bridges)):
            names = (f"qb{os.getpid()}l{n}", f"qb{os.getpid()}r{n}")
            _run("ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1])
            self._stack.callback(_quietly, "ip", "link", "del", names[0])
            self._plug(left, names[0])
            self._plug(right, names[1])
        for end, bridge in zip(ENDS, (bridges[0], bridges[-1]), strict=True):
            port = f"qb{os.getpid()}h{end}"
            _run("ip", "link", "add", "data0", "netns", self._namespace(end), "type", "veth", "peer", "name", port)
            self._stack.callback(_quietly, "ip", "link", "del", port)
            self._plug(bridge, port)
            # The user-space switch would pass on TCP segments whose checksums nobody has filled in.
            _run(*self.into(end), "ethtool", "-K", "data0", "tx", "off")

    def _plug(self, bridge: str, port: str) -> None:
        _run("ip", "link", "set", port, "mtu", str(self.mtu), "up")
        vsctl("add-port", bridge, port)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentLacks(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")


def _quietly(*argv: str) -> None:
    """What is gone already is no error."""
    subprocess.run(argv, capture_output=True, check=False)
