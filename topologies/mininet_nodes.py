"""The parts of which Mininet thinks a network consists: sites' hosts and switches, and links that exist already.

A shell costs time and a megabyte, and few are ever spoken to: a node's is started with its first command. What holds
a host's namespace open is a smaller process, which ends when this one does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from mininet.link import Intf, Link
from mininet.node import Controller, Node, OVSSwitch
from mininet.topo import Topo

from topologies.bridges import OPENFLOW_VERSION, remove
from topologies.errors import NetworkError
from topologies.spec import DATA_PREFIX_LENGTH, Topology

# It says that it runs, and so that its namespace is there, and ends when nobody is left who could write to it.
_HOLD = ("mnexec", "-n", "sh", "-c", "echo; read _")


class LateShell(Node):
    """A node whose shell is started by its first command, and started again when it has ended."""

    def startShell(self, mnopts: str | None = None) -> None:
        """Later."""

    def sendCmd(self, *args: Any, **kwargs: Any) -> Any:
        self._require_shell()
        return super().sendCmd(*args, **kwargs)

    def cmd(self, *args: Any, **kwargs: Any) -> Any:
        self._require_shell()
        return super().cmd(*args, **kwargs)

    def _require_shell(self) -> None:
        if self.shell is not None and self.shell.poll() is not None:
            self.cleanup()
        if self.shell is None:
            self._start_shell()

    def _start_shell(self) -> None:
        super().startShell()


class SiteSwitch(LateShell, OVSSwitch):
    """A site's bridge: fails secure (forwards only what it was told), OpenFlow 1.3, started in one batch."""

    def __init__(self, name: str, datapath_type: str = "netdev", **params: Any) -> None:
        ours = {
            "failMode": "secure",
            "datapath": "kernel" if datapath_type == "system" else "user",
            "protocols": OPENFLOW_VERSION,
            "batch": True,
        }
        self._is_made = False
        super().__init__(name, **(params | ours))
        self._is_made = True
        self.pid = os.getpid()  # as good as a shell's to name the namespace in which its ports are

    @classmethod
    def batchShutdown(cls, switches: Sequence[SiteSwitch], **_: Any) -> Sequence[SiteSwitch]:
        """For Mininet's own launcher, which would send signals to shells that there are not."""
        remove(switch.name for switch in switches)
        for switch in switches:
            switch.terminate()
        return switches

    def cmd(self, *args: Any, **kwargs: Any) -> Any:
        """Mininet has each new switch raise `lo`, which is the machine's own and up."""
        return super().cmd(*args, **kwargs) if self._is_made else ""


class SiteHost(LateShell):
    """A site's host: a network namespace where only tunnels have IPv6; router solicitations would disturb counters."""

    def __init__(self, name: str, environment: Mapping[str, str] | None = None, **params: Any) -> None:
        self._environment = environment  # before anything is started in there
        super().__init__(name, **params)
        self._holder: subprocess.Popen[bytes] | None = subprocess.Popen(
            [*_HOLD, f"mininet:{name}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not for it
        )  # fmt: skip
        self.pid = self._holder.pid
        self._is_held = False

    def wait_held(self) -> None:
        """Until the namespace is there; several are made at once. NetworkError when the machine refuses it."""
        if self._is_held:
            return
        holder = self._holder
        assert holder is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        if not holder.stdout.readline():
            said = holder.stderr.read().decode(errors="replace").strip()
            raise NetworkError(f"mnexec cannot make a network namespace here: {said}")
        holder.stdout.close()
        holder.stderr.close()
        self._is_held = True

    def release(self) -> None:
        """Have the namespace end, if it has not: :meth:`terminate` waits for it."""
        if self._holder is not None and self._holder.stdin is not None:
            self._holder.stdin.close()

    def _start_shell(self) -> None:
        self.wait_held()
        holder = self.pid
        self.inNamespace = False  # it is not to make a namespace but to enter one
        try:
            Node.startShell(self, f"-cda{holder}")
        finally:
            self.inNamespace, self.pid = True, holder

    def _popen(self, cmd: Any, **params: Any) -> Any:
        """Its shell, and what is started beside it, see what who called for the network sees."""
        return super()._popen(cmd, **({"env": self._environment} | params))

    def config(self, **params: Any) -> Any:
        """For Mininet's own launcher; :class:`topologies.net.EmulatedNetwork` sets up many at once."""
        self.cmd("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        self.cmd("ip link set lo up")
        return super().config(**params)

    def terminate(self) -> None:
        super().terminate()
        self.release()
        if self._holder is not None:
            self._holder.wait()
            for pipe in (self._holder.stdout, self._holder.stderr):
                if pipe is not None:
                    pipe.close()
            self._holder = None


class ControllerEndpoint(LateShell, Controller):
    """Where the switches find the controller, which is started and stopped elsewhere."""

    def __init__(self, name: str, host: str, port: int, protocol: str):
        super().__init__(name, ip=host, port=port, protocol=protocol, command=None)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to stop."""

    def checkListening(self) -> None:
        """The controller may come later; the switches keep trying."""


class MadeInterface(Intf):
    """An interface that somebody else makes and sets up."""

    def config(self, **_: Any) -> dict[str, Any]:
        return {}


class MadeLink(Link):
    """A link that somebody else makes."""

    def __init__(self, node1: Node, node2: Node, **params: Any) -> None:
        super().__init__(node1, node2, **(params | {"intf": MadeInterface, "fast": True}))

    @classmethod
    def makeIntfPair(cls, *_: Any, **__: Any) -> None:
        """It is made together with the others."""


class SiteTopo(Topo):
    """The data network of a topology as Mininet describes it: also what ``mn --custom`` builds."""

    def build(
        self, topology: Topology, datapath_type: str = "netdev", environment: Mapping[str, str] | None = None
    ) -> None:
        for site in topology.sites:
            host = topology.host(site.name)
            address = f"{host.data_address}/{DATA_PREFIX_LENGTH}"
            bridge, host_port = topology.bridge(site.name), topology.ports(site.name)[0]
            self.addSwitch(bridge, cls=SiteSwitch, dpid=f"{topology.dpid(site.name):016x}", datapath_type=datapath_type)
            self.addHost(site.name, cls=SiteHost, ip=address, environment=environment)
            self.addLink(
                site.name, bridge, intfName1="data0", intfName2=host_port.interface,
                port1=0, port2=host_port.number, addr1=host.data_mac,
            )  # fmt: skip
        for channel in topology.channels:
            a, b = topology.port_of(channel.a, channel.id), topology.port_of(channel.b, channel.id)
            self.addLink(
                topology.bridge(channel.a), topology.bridge(channel.b), intfName1=a.interface, intfName2=b.interface,
                port1=a.number, port2=b.number,
            )  # fmt: skip
