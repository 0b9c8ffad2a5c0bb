"""A real controller process without switches: enough for everything that happens between a client and the API."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from scripts.testbed.paths import REPOSITORY
from tests.support.fake_agents import FakeKms
from tests.support.wait import wait_until
from topologies.catalog import ukqntel


class RunningController:
    """Use it as a context manager. ``api`` are further fields of the configuration's section of that name.

    ``openflow`` are those of that section: without any, switches need no certificate.
    """

    def __init__(self, directory: Path, openflow: dict[str, Any] | None = None, **api: Any) -> None:
        self.directory = directory
        self.port = _free_port()
        self.openflow_port = _free_port()
        self.log_path = directory / "controller.log"
        topology = ukqntel()
        self._kms = FakeKms(directory / "kms.sock", [s.id for s in topology.sections])
        self.config = {
            "topology": topology.to_dict(),
            "database": str(directory / "controller.sqlite"),
            "token_file": str(directory / "token"),
            "api": {"port": self.port, **api},
            "openflow": {"port": self.openflow_port, **(openflow or {"tls": False})},
            "kms_socket": str(directory / "kms.sock"),
            "tunnel_sockets": {},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningController:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._kms.close()

    def restart(self) -> None:
        """The next process, with the same configuration and journal."""
        self._end()
        self._start()

    def _start(self) -> None:
        path = self.directory / "controller.json"
        path.write_text(json.dumps(self.config))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "controller", "--config", str(path)], cwd=REPOSITORY, stdout=log, stderr=log
            )
        wait_until(self._is_ready, 20)

    def _end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_path.read_text()
        with suppress(OSError):
            return self.call("GET", "/v1/healthz")[0] == 200
        return False

    def token(self, name: str = "token") -> str:
        return (self.directory / name).read_text().strip()

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            parsed = json.loads(text) if text and "json" in (response.getheader("Content-Type") or "") else text
            return response.status, dict(response.getheaders()), parsed
        finally:
            connection.close()

    def connect(self, timeout_s: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def exchange(self, raw: bytes, half_close: bool = False) -> tuple[int, dict[str, str], bytes, float]:
        """Send bytes, read until the server ends: status, headers (lower case), body and how long it took."""
        began = time.monotonic()
        with self.connect() as sock:
            with suppress(ConnectionError):
                sock.sendall(raw)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
            received = b""
            with suppress(ConnectionError):
                while chunk := sock.recv(65536):
                    received += chunk
        return *parse_answer(received), time.monotonic() - began


def parse_answer(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of one answer; status 0 for silence."""
    if not raw:
        return 0, {}, b""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
