"""What carries the benchmark's traffic from a to b: nothing (plain), our tunnel, wireguard-go, OpenVPN."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kms.pki import authority as pki
from scripts.bench.tunnel.peers import Program
from scripts.bench.tunnel.wires import ENDS, KME, UNDERLAY, Wire
from scripts.errors import DidNotHold
from scripts.measure.polling import poll
from scripts.measure.process_usage import cpu_s
from scripts.testbed.clients import KmsAdmin, TunnelControl
from scripts.testbed.paths import REPOSITORY, write_private
from scripts.testbed.processes import tail, wait_ready
from topologies.spec import KME_PORT

START_TIMEOUT_S = 20.0
WIREGUARD_OVERHEAD = 20 + 8 + 32  # octets: IPv4, UDP, header and tag
OPENVPN_OVERHEAD = 20 + 8 + 24  # octets: IPv4, UDP, opcode and peer id, packet id and tag
_OPENVPN_BUFFER = str(4 << 20)


class Carrier(ABC):
    """One way from a to b. ``addresses`` are what the measuring programs use; ``processes`` are what it costs."""

    addresses: dict[str, str]
    processes: dict[str, list[subprocess.Popen[bytes]]]

    def __init__(self, wire: Wire, directory: Path) -> None:
        self.wire, self.directory = wire, directory
        self.processes = {end: [] for end in ENDS}
        self._stack = ExitStack()

    @abstractmethod
    def open(self) -> None:
        """Return when packets can pass."""

    def close(self) -> None:
        """End what was started."""
        self._stack.close()

    def cpu_s(self) -> float:
        """Processor time that the tunnel's processes at both ends have used so far."""
        return sum(cpu_s(process.pid) for processes in self.processes.values() for process in processes)

    def _start(self, end: str, name: str, argv: Iterable[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        log = self.directory / f"{name}-{end}.log"
        with log.open("wb") as output:
            process = self.wire.popen(
                end, ["setpriv", "--pdeathsig", "TERM", *map(str, argv)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, **options,
            )  # fmt: skip
        self._stack.callback(_stop, process)
        return process

    def _await_ping(self, log_of: str) -> None:
        argv = ("ping", "-c", "1", "-W", "1", self.addresses["b"])
        if not poll(lambda: self.wire.run("a", argv).returncode == 0, START_TIMEOUT_S):
            logs = "\n".join(tail(self.directory / f"{log_of}-{end}.log") for end in ENDS)
            raise DidNotHold(f"{log_of} carries nothing within {START_TIMEOUT_S:.0f} s:\n{logs}")


class Plain(Carrier):
    """No tunnel: what the wire itself can do."""

    addresses = UNDERLAY

    def open(self) -> None:
        pass


class Ours(Carrier):
    """Our agents and a real KMS; ``tree`` is the checkout they are taken from.

    ``data_plane`` is who seals and opens, None for agents of a time that knew one only.
    """

    def __init__(
        self, wire: Wire, directory: Path, *, number: int, rekey_s: float = 3.0, tree: Path = REPOSITORY,
        kme_port_offset: int = 0, data_plane: str | None = "userspace",
    ) -> None:  # fmt: skip
        super().__init__(wire, directory)
        self.addresses = {"a": f"10.200.0.{2 * number}", "b": f"10.200.0.{2 * number + 1}"}
        self._number, self._rekey_s, self._tree = number, rekey_s, tree
        self._kme_port = KME_PORT + kme_port_offset
        self._data_plane = {} if data_plane is None else {"data_plane": data_plane}
        self._controls: dict[str, TunnelControl] = {}

    @property
    def connection_id(self) -> str:
        return f"bench/conn{self._number}"

    def open(self) -> None:
        authority = self.directory / "pki"
        pki.ensure_ca(authority)
        for end in ENDS:
            pki.issue_sae(authority, f"sae-{end}", authority / f"sae-{end}", site=end)
        self._start_kms(authority)
        for end in ENDS:
            self._start_agent(end, authority)
        for end in reversed(ENDS):
            self._controls[end].request("add", connection=self._connection(end))
        for end in ENDS:
            self._controls[end].request("wait_up", connection_id=self.connection_id, timeout_s=START_TIMEOUT_S)

    def stats(self, end: str) -> dict[str, Any]:
        """The connection's counters at one end."""
        found: dict[str, Any] = self._controls[end].request("stats")["connections"][self.connection_id]
        return found

    def _start_kms(self, authority: Path) -> None:
        admin = self.directory / "kms.sock"
        config = {
            "state_dir": str(self.directory / "kms"), "pki_dir": str(authority), "admin_socket": str(admin),
            "sites": [
                {
                    "site": end, "kme_id": f"kme-{end}", "host": KME[end], "port": self._kme_port,
                    "sae_ids": [f"sae-{end}"],
                }
                for end in ENDS
            ],
            "sections": [], "qkd_links": [], "pairs": [{"a": "a", "b": "b", "key_source": "dh"}],
        }  # fmt: skip
        self._start_python("k", "kms", config, KmsAdmin(admin).is_ready)

    def _start_agent(self, end: str, authority: Path) -> None:
        own, control = authority / f"sae-{end}", self.directory / f"{end}.sock"
        config = {
            "host": end, "sae_id": f"sae-{end}", "control_socket": str(control), "underlay_interface": "data0",
            "underlay_address": UNDERLAY[end], "kme_url": f"https://{KME[end]}:{self._kme_port}",
            "cert": str(own / "cert.pem"), "key": str(own / "key.pem"), "ca": str(own / "ca.pem"),
            **self._data_plane,
        }  # fmt: skip
        self._controls[end] = TunnelControl(control)
        process = self._start_python(end, "kms.tunnel", config, self._controls[end].is_ready)
        self.processes[end].append(process)

    def _start_python(self, end: str, module: str, config: dict[str, Any], is_ready: Any) -> subprocess.Popen[bytes]:
        path = self.directory / f"{module}-{end}.json"
        write_private(path, json.dumps(config))
        environment = {**os.environ, "PYTHONPATH": str(self._tree)}
        argv = [sys.executable, "-m", module, "--config", str(path)]
        process = self._start(end, module, argv, env=environment, cwd="/")
        wait_ready(module, process, self.directory / f"{module}-{end}.log", is_ready, START_TIMEOUT_S)
        return process

    def _connection(self, end: str) -> dict[str, Any]:
        peer = "b" if end == "a" else "a"
        return {
            "id": self.connection_id, "role": "initiator" if end == "a" else "responder", "mode": "esp",
            "interface": f"q{self._number}", "port": 20000 + self._number, "peer_underlay": UNDERLAY[peer],
            "local_address": self.addresses[end], "peer_address": self.addresses[peer], "peer_sae": f"sae-{peer}",
            "key_source": "dh", "rekey_s": self._rekey_s, "lifetime_s": 60.0,
        }  # fmt: skip


class WireGuardGo(Carrier):
    """wireguard-go, configured over its socket (https://www.wireguard.com/xplatform/)."""

    def __init__(self, wire: Wire, directory: Path, *, number: int, program: Program) -> None:
        super().__init__(wire, directory)
        self.addresses = {"a": f"10.201.{number}.1", "b": f"10.201.{number}.2"}
        self._number, self._program = number, program

    def open(self) -> None:
        keys = {end: X25519PrivateKey.generate() for end in ENDS}
        for end in ENDS:
            name = self._interface(end)
            environment = {**self._program.environment, "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}
            process = self._start(end, "wireguard-go", [self._program.path, "-f", name], env=environment)
            self.processes[end].append(process)
            control = Path("/var/run/wireguard") / f"{name}.sock"
            wait_ready("wireguard-go", process, self.directory / f"wireguard-go-{end}.log", control.exists, 10.0)
            self._configure(end, control, keys)
        self._await_ping("wireguard-go")

    def _interface(self, end: str) -> str:
        return f"qb{os.getpid()}w{self._number}{end}"[-15:]

    def _configure(self, end: str, control: Path, keys: dict[str, X25519PrivateKey]) -> None:
        peer, name = ("b" if end == "a" else "a"), self._interface(end)
        request = (
            f"set=1\nprivate_key={keys[end].private_bytes_raw().hex()}\nlisten_port=51820\n"
            f"public_key={keys[peer].public_key().public_bytes_raw().hex()}\n"
            f"endpoint={UNDERLAY[peer]}:51820\nallowed_ip={self.addresses[peer]}/32\n\n"
        )
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5.0)
            connection.connect(str(control))
            connection.sendall(request.encode())
            answer = connection.recv(4096).decode()
        if "errno=0" not in answer:
            raise DidNotHold(f"wireguard-go refused its configuration: {answer.strip()}")
        for words in (
            ("addr", "add", self.addresses[end], "peer", self.addresses[peer], "dev", name),
            ("link", "set", name, "mtu", str(self.wire.mtu - WIREGUARD_OVERHEAD), "up"),
        ):
            done = self.wire.run(end, ("ip", *words))
            if done.returncode:
                raise DidNotHold(f"ip {' '.join(words)}: {done.stderr.strip()}")


class OpenVpn(Carrier):
    """OpenVPN in point-to-point mode with AES-256-GCM, each end knowing the other's certificate."""

    def __init__(self, wire: Wire, directory: Path, *, program: Program, is_tuned: bool) -> None:
        """``is_tuned``: with larger buffers and without the poll before each write; else as it comes."""
        super().__init__(wire, directory)
        self._program, self._is_tuned = program, is_tuned
        net = 203 if is_tuned else 202
        self.addresses = {"a": f"10.{net}.0.1", "b": f"10.{net}.0.2"}
        self._port = str(1000 + net)

    def open(self) -> None:
        prints = {end: _self_signed(self.directory, end) for end in ENDS}
        for end in ENDS:
            peer = "b" if end == "a" else "a"
            argv: list[str | Path] = [
                self._program.path, "--dev", f"qbo{self._port}{end}", "--dev-type", "tun", "--proto", "udp",
                "--local", UNDERLAY[end], "--port", self._port, "--remote", UNDERLAY[peer], self._port,
                "--ifconfig", self.addresses[end], self.addresses[peer],
                "--tls-server" if end == "b" else "--tls-client",
                "--cert", self.directory / f"{end}.crt", "--key", self.directory / f"{end}.key",
                "--peer-fingerprint", prints[peer], "--data-ciphers", "AES-256-GCM", "--cipher", "AES-256-GCM",
                "--tun-mtu", str(self.wire.mtu - OPENVPN_OVERHEAD), "--mssfix", "0", "--disable-dco",
            ]  # fmt: skip
            if end == "b":
                argv += ["--dh", "none"]
            if self._is_tuned:
                argv += ["--fast-io", "--sndbuf", _OPENVPN_BUFFER, "--rcvbuf", _OPENVPN_BUFFER, "--txqueuelen", "1000"]
            self.processes[end].append(self._start(end, "openvpn", argv, env=self._program.environment))
        self._await_ping("openvpn")


def _self_signed(directory: Path, end: str) -> str:
    """Write a certificate and its key; its SHA-256 fingerprint in OpenVPN's notation."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, end)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (directory / f"{end}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(directory / f"{end}.key", private.decode())
    return ":".join(f"{octet:02X}" for octet in certificate.fingerprint(hashes.SHA256()))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    deadline = time.monotonic() + 5.0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    process.wait()
