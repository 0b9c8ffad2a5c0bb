"""Two hosts, a wire between them and a KME, in network namespaces of their own:

qtt-PID-a [data0 172.20.0.2] ------------ [data0 172.20.0.3] qtt-PID-b
          [mgmt0 10.254.1.2]              [mgmt0 10.254.2.2]
                     \\                      /
                   [10.254.1.1  10.254.2.1] qtt-PID-k
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.testbed.paths import REPOSITORY
from tests.support.fake_kme import make_pki
from tests.support.wait import PATIENCE, wait_until

ROOT = REPOSITORY
# A frame of no protocol, sent when a capture shall end.
LAST_WORDS = b"here this capture ends"
SAY_LAST_WORDS = (
    "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('data0', 0)); "
    f"s.send(bytes(12) + bytes.fromhex('88b5') + {LAST_WORDS!r}.ljust(46))"
)
UNDERLAY = {"a": "172.20.0.2", "b": "172.20.0.3"}


class ControlClient:
    """One request at a time over an agent's control socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30.0 * PATIENCE)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rwb")
        self._id = 0

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The whole answer."""
        self._id += 1
        return self.ask_raw(json.dumps({"id": self._id, "op": op, **fields}).encode())

    def ask_raw(self, line: bytes) -> dict[str, Any]:
        self._file.write(line + b"\n")
        self._file.flush()
        answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def do(self, op: str, **fields: Any) -> dict[str, Any]:
        """The result; AssertionError when there is none."""
        answer = self.ask(op, **fields)
        assert answer["ok"], answer
        result: dict[str, Any] = answer["result"]
        return result

    def stats(self, connection_id: str) -> dict[str, Any]:
        result: dict[str, Any] = self.do("stats")["connections"][connection_id]
        return result

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@dataclass
class Lab:
    directory: Path
    prefix: str = field(default_factory=lambda: f"qtt-{os.getpid()}")
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    clients: dict[str, ControlClient] = field(default_factory=dict)

    def ns(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def run(self, name: str, *command: str, check: bool = True, timeout: float = 60.0) -> str:
        """Output of a command in a host's namespace."""
        argv = ["ip", "netns", "exec", self.ns(name), *command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout * PATIENCE, cwd=ROOT)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, label: str, name: str, *command: str) -> subprocess.Popen[bytes]:
        """A process that runs until it is stopped; its output goes to LABEL.log."""
        with (self.directory / f"{label}.log").open("ab") as log:
            argv = ["ip", "netns", "exec", self.ns(name), *command]
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=ROOT)
        self.processes[label] = process
        return process

    def stop(self, label: str, number: int = signal.SIGTERM) -> int:
        process = self.processes.pop(label)
        process.send_signal(number)
        return process.wait(10.0 * PATIENCE)

    def socket_path(self, name: str) -> Path:
        return self.directory / f"{name}.sock"

    def config_path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def start_kme(self) -> None:
        ready = self.directory / "kme.ready"
        ready.unlink(missing_ok=True)
        self.start(
            "kme", "k", sys.executable, "-m", "tests.support.fake_kme", str(self.directory), "10.254.1.1", "10.254.2.1"
        )
        wait_until(ready.exists, 15.0)

    def start_agent(self, name: str) -> None:
        self.start(f"agent-{name}", name, sys.executable, "-m", "kms.tunnel", "--config", str(self.config_path(name)))
        wait_until(lambda: is_listening(self.socket_path(name)), 15.0)
        self.clients[name] = ControlClient(self.socket_path(name))

    def stop_agent(self, name: str, number: int = signal.SIGTERM) -> int:
        self.clients.pop(name).close()
        return self.stop(f"agent-{name}", number)

    def build(self) -> None:
        for name in "abk":
            _ip(f"netns add {self.ns(name)}")
            _ip(f"-n {self.ns(name)} link set lo up")
        a, b, k = (self.ns(name) for name in "abk")
        _ip(f"link add data0 netns {a} type veth peer name data0 netns {b}")
        _ip(f"link add mgmt0 netns {a} type veth peer name kme1 netns {k}")
        _ip(f"link add mgmt0 netns {b} type veth peer name kme2 netns {k}")
        for ns, interface, address in (
            (a, "data0", "172.20.0.2/16"), (b, "data0", "172.20.0.3/16"), (a, "mgmt0", "10.254.1.2/30"),
            (b, "mgmt0", "10.254.2.2/30"), (k, "kme1", "10.254.1.1/30"), (k, "kme2", "10.254.2.1/30"),
        ):  # fmt: skip
            _ip(f"-n {ns} addr add {address} dev {interface}")
            _ip(f"-n {ns} link set {interface} up")
        make_pki(self.directory, addresses=["10.254.1.1", "10.254.2.1"], saes=["sae-a", "sae-b"])
        for index, name in enumerate("ab", start=1):
            config = {
                "host": name,
                "sae_id": f"sae-{name}",
                "control_socket": str(self.socket_path(name)),
                "underlay_interface": "data0",
                "underlay_address": UNDERLAY[name],
                "kme_url": f"https://10.254.{index}.1:8443",
                "cert": str(self.directory / f"sae-{name}.pem"),
                "key": str(self.directory / f"sae-{name}.key"),
                "ca": str(self.directory / "ca.pem"),
                "unsafe_keylog": str(self.directory / f"keylog-{name}"),
            }
            self.config_path(name).write_text(json.dumps(config))

    def tear_down(self) -> None:
        for client in self.clients.values():
            client.close()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(5.0 * PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5.0 * PATIENCE)
        for name in "abk":
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True)


@dataclass(frozen=True)
class Pair:
    """Connection number ``n`` of the lab, as each end is told about it."""

    lab: Lab
    n: int
    options: dict[str, Any]
    has_ipv6: bool = False

    @property
    def id(self) -> str:
        return f"test/conn{self.n}"

    @property
    def interface(self) -> str:
        return f"q{self.n}"

    @property
    def port(self) -> int:
        return 20000 + self.n

    def address(self, name: str) -> str:
        return f"10.200.0.{2 * self.n + (name == 'b')}"

    def address6(self, name: str) -> str:
        return f"fd51:5c1c::{2 * self.n + (name == 'b'):x}"

    def config(self, name: str) -> dict[str, Any]:
        peer = "b" if name == "a" else "a"
        ipv6 = {"local_address6": self.address6(name), "peer_address6": self.address6(peer)} if self.has_ipv6 else {}
        return {
            "id": self.id, "role": "initiator" if name == "a" else "responder", "mode": "esp",
            "interface": self.interface, "port": self.port, "peer_underlay": UNDERLAY[peer],
            "local_address": self.address(name), "peer_address": self.address(peer), "peer_sae": f"sae-{peer}",
            "key_source": "qra", **ipv6, **self.options,
        }  # fmt: skip

    def add(self) -> None:
        for name in "ab":
            self.lab.clients[name].do("add", connection=self.config(name))

    def wait_up(self, timeout_s: float = 5.0 * PATIENCE) -> None:
        for name in "ab":
            self.lab.clients[name].do("wait_up", connection_id=self.id, timeout_s=timeout_s)

    def remove(self) -> None:
        for name in "ab":
            self.lab.clients[name].do("remove", connection_id=self.id)

    def ping(self, *arguments: str) -> str:
        return self.lab.run("a", "ping", "-q", "-W", "1", *arguments, self.address("b"), check=False)

    def ping6(self, *arguments: str) -> str:
        return self.lab.run("a", "ping", "-6", "-q", "-W", "1", *arguments, self.address6("b"), check=False)

    def stats(self, name: str) -> dict[str, Any]:
        return self.lab.clients[name].stats(self.id)


MakePair = Callable[..., Pair]


def loss_pct(ping_output: str) -> float:
    """What ping says that it has lost, in percent."""
    found = re.search(r"([\d.]+)% packet loss", ping_output)
    assert found, ping_output
    return float(found[1])


@contextlib.contextmanager
def tunnel_lab(directory: Path) -> Iterator[Lab]:
    """A lab with both agents and the KME running, gone afterwards."""
    lab = Lab(directory)
    try:
        lab.build()
        lab.start_kme()
        for name in "ab":
            lab.start_agent(name)
        yield lab
    finally:
        lab.tear_down()


@contextlib.contextmanager
def capture(lab: Lab, name: str, path: Path) -> Iterator[None]:
    """Everything on the host's ``data0``, in ``path``."""
    argv = [
        "ip",
        "netns",
        "exec",
        lab.ns(name),
        "tcpdump",
        "-Z",
        "root",
        "-i",
        "data0",
        "--immediate-mode",
        "-U",
        "-w",
        str(path),
    ]
    # A veth pair hands on many datagrams as one (UDP GSO); a capture shall show what goes over a wire.
    for end in "ab":
        lab.run(end, "ethtool", "-K", "data0", "tx-udp-segmentation", "off")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert b"listening" in said, said
        yield
        # What tcpdump has not read when it is stopped is lost; when it has this, it has all that came before.
        lab.run("b" if name == "a" else "a", sys.executable, "-c", SAY_LAST_WORDS)
        wait_until(lambda: LAST_WORDS in path.read_bytes(), 10.0)
    finally:
        process.send_signal(signal.SIGINT)
        process.stderr.close()
        process.wait(10.0 * PATIENCE)
        for end in "ab":
            lab.run(end, "ethtool", "-K", "data0", "tx-udp-segmentation", "on")


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"
