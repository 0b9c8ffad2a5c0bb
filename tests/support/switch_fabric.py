"""A small network of real Open vSwitch bridges, veth pairs and namespaces, and a real controller process over it.

Every name carries a prefix made from the process id, so that several runs share one machine.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from scripts.testbed.paths import REPOSITORY
from tests.support.fake_agents import FakeKms, FakeTunnelAgent
from tests.support.wait import PATIENCE, wait_until
from topologies.spec import Topology

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def unique_prefix() -> str:
    n = os.getpid()
    return "t" + _DIGITS[n % 36] + _DIGITS[n // 36 % 36]


def with_prefix(topology: Topology, prefix: str) -> Topology:
    """The same network with other site names."""
    return replace(
        topology,
        sites=tuple(replace(s, name=prefix + s.name) for s in topology.sites),
        channels=tuple(replace(c, a=prefix + c.a, b=prefix + c.b) for c in topology.channels),
        qkd_links=tuple(replace(q, a=prefix + q.a, b=prefix + q.b) for q in topology.qkd_links),
    )


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Fabric:
    """Bridges, channels and hosts of a topology."""

    def __init__(self, topology: Topology, openflow_port: int) -> None:
        self.topology = topology
        self.openflow_port = openflow_port
        self._respelt = False

    def __enter__(self) -> Fabric:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        names = [self.topology.bridge(s) for s in self.topology.site_names]
        run("ovs-vsctl", *_joined([["--if-exists", "del-br", n] for n in names]), check=False)
        for site in self.topology.site_names:
            run("ip", "netns", "del", site, check=False)
            for port in self.topology.ports(site):
                run("ip", "link", "del", port.interface, check=False)

    def _build(self) -> None:
        topology = self.topology
        links = []
        for channel in topology.channels:
            ends = [topology.port_of(site, channel.id).interface for site in channel.ends]
            links.append(f"link add {ends[0]} type veth peer name {ends[1]}")
            links += [f"link set {end} up" for end in ends]
        for site in topology.site_names:
            host_port = topology.ports(site)[0].interface
            run("ip", "netns", "add", site)
            links.append(f"link add {host_port} type veth peer name data0 netns {site}")
            links.append(f"link set {host_port} up")
        subprocess.run(["ip", "-batch", "-"], input="\n".join(links), text=True, check=True)
        for site in topology.site_names:
            host = topology.host(site)
            self.sh(
                site,
                "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set lo up;"
                f"ip link set data0 address {host.data_mac}; ip addr add {host.data_address}/16 dev data0;"
                "ip link set data0 up; ethtool -K data0 tx off >/dev/null",
            )
        commands: list[list[str]] = []
        for site in topology.site_names:
            bridge = topology.bridge(site)
            commands.append(["add-br", bridge])
            commands.append(
                ["set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13",
                 f"other-config:datapath-id={topology.dpid(site):016x}"]
            )  # fmt: skip
            commands.append(["set-controller", bridge, f"tcp:127.0.0.1:{self.openflow_port}"])
            commands.append(["set", "controller", bridge, "max_backoff=1000", "connection_mode=out-of-band"])
            for port in topology.ports(site):
                commands.append(["add-port", bridge, port.interface])
                commands.append(["set", "interface", port.interface, f"ofport_request={port.number}"])
        run("ovs-vsctl", *_joined(commands))

    def reconnect(self) -> None:
        """Let the switches try their controller now: after a failure Open vSwitch waits for up to eight seconds.

        It tries a new target at once, so the same is written differently. Having none in between would not do: a switch
        that loses its last controller forgets its rules.
        """
        self._respelt = not self._respelt
        target = f"tcp:127.0.0.1:{'0' if self._respelt else ''}{self.openflow_port}"
        bridges = [self.topology.bridge(site) for site in self.topology.site_names]
        run("ovs-vsctl", *_joined([["set-controller", bridge, target] for bridge in bridges]))

    def sh(self, site: str, script: str, check: bool = True) -> str:
        return run("ip", "netns", "exec", site, "sh", "-c", script, check=check)

    def popen(self, site: str, *command: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", site, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def add_clear(self, site: str, connection: dict[str, Any]) -> None:
        """What the tunnel agent does for a connection in the clear."""
        local, peer = connection["local_address"], connection["peer_address"]
        self.sh(site, f"ip addr add {local}/32 dev data0 && ip route add {peer}/32 dev data0 src {local}")

    def remove_clear(self, site: str, connection: dict[str, Any]) -> None:
        self.sh(site, f"ip addr del {connection['local_address']}/32 dev data0", check=False)

    def set_channel(self, channel_id: str, state: str) -> None:
        channel = self.topology.channel(channel_id)
        run("ip", "link", "set", self.topology.port_of(channel.a, channel_id).interface, state)

    def rules(self, site: str) -> list[str]:
        """The switch's rules as Open vSwitch prints them, without counters."""
        text = run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", self.topology.bridge(site))
        return sorted(line.strip() for line in text.splitlines() if "actions=" in line)

    def all_rules(self) -> dict[str, list[str]]:
        return {site: self.rules(site) for site in self.topology.site_names}

    def meters(self, site: str) -> list[str]:
        text = run("ovs-ofctl", "-O", "OpenFlow13", "dump-meters", self.topology.bridge(site))
        return sorted(line.strip() for line in text.splitlines() if line.startswith("meter="))


class Controller:
    """A controller process with fake tunnel agents and a fake KMS beside it."""

    def __init__(self, fabric: Fabric, directory: Path, **options: Any) -> None:
        self.fabric = fabric
        topology = fabric.topology
        self.directory = directory
        self.api_port = free_port()
        self.log_path = directory / "controller.log"
        self.agents = {
            site: FakeTunnelAgent(
                directory / f"tunnel-{site}.sock",
                partial(fabric.add_clear, site),
                partial(fabric.remove_clear, site),
            )
            for site in topology.site_names
        }
        self.kms = FakeKms(directory / "kms.sock", [s.id for s in topology.sections])
        config = {
            "topology": topology.to_dict(),
            "database": str(directory / "controller.sqlite"),
            "token_file": str(directory / "token"),
            "api": {"host": "127.0.0.1", "port": self.api_port},
            "openflow": {"host": "127.0.0.1", "port": fabric.openflow_port, "tls": False},
            "kms_socket": str(directory / "kms.sock"),
            "tunnel_sockets": {site: str(directory / f"tunnel-{site}.sock") for site in topology.site_names},
            **options,
        }
        self.config_path = directory / "controller.json"
        self._config = config
        self.configure()
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, **options: Any) -> None:
        """What the next start is told beside, or instead of, what was given at first."""
        self.config_path.write_text(json.dumps(self._config | options))

    def restart(self, **options: Any) -> None:
        """Start a process that has been killed, told ``options`` beside, and have every switch back at once."""
        self.configure(**options)
        self.launch()
        wait_until(self._is_serving, 60)
        self.fabric.reconnect()
        wait_until(self._is_ready, 60)

    def start(self) -> None:
        self.launch()
        wait_until(self._is_ready, 20)

    def launch(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "controller", "--config", str(self.config_path)],
                cwd=REPOSITORY, stdout=log, stderr=log,
            )  # fmt: skip

    def _is_serving(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_path.read_text()
        with suppress(OSError):
            return self.call("GET", "/v1/healthz")[0] == 200
        return False

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_path.read_text()
        with suppress(OSError):
            return bool(self.call("GET", "/v1/healthz")[1]["switches_connected"] == len(self.fabric.topology.sites))
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for agent in self.agents.values():
            agent.close()
        self.kms.close()

    @property
    def token(self) -> str:
        return (self.directory / "token").read_text().strip()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and parsed body of an API call, authorised unless told otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=30 * PATIENCE)
        all_headers = {"Authorization": f"Bearer {self.token}"} if method != "GET" else {}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
        if raw is not None:
            all_headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, raw, {**all_headers, **headers})
            response = connection.getresponse()
            text = response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()


def _joined(commands: Sequence[Sequence[str]]) -> list[str]:
    words: list[str] = []
    for command in commands:
        words += ["--", *command]
    return words
