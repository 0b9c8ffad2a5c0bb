"""Adapters: the three places a command talks to. All are local: loopback HTTP and unix sockets."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from scripts.errors import DidNotHold, EnvironmentLacks

Answer = tuple[int, Any]
TUNNEL_TIMEOUT_S = 60.0  # who is not there is noticed at once; this is for machines that are slow
PRIVILEGED_READS = ("/v1/intended",)  # the operator's, unlike other reads on loopback


def every_slice(api: Callable[[str, str], Answer]) -> Answer:
    """Status 200 and the views of all slices, however many pages they fill; else the answer that was another.

    ``api`` takes a method and a path, as a running system's does.
    """
    found: list[dict[str, Any]] = []
    path = "/v1/slices"
    while True:
        status, page = api("GET", path)
        if status != HTTPStatus.OK:
            return status, page
        found += page["slices"]
        if "next" not in page:
            return status, found
        path = f"/v1/slices?cursor={quote(page['next'])}"


# Devices configured one after the other can take minutes, where they are made as slow as the papers'.
WRITE_TIMEOUT_S = 900.0


class Northbound:
    """The controller's REST API (contracts: "Northbound API").

    A ``token`` goes along with every request; that of ``token_file`` only where one is wanted.
    """

    def __init__(
        self, url: str, token_file: Path | None = None, timeout_s: float = 60.0, token: str | None = None
    ) -> None:
        self._address, self._token_file, self._timeout_s = urlsplit(url), token_file, timeout_s
        self._given_token = token

    @property
    def url(self) -> str:
        return self._address.geturl()

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Status and decoded body; EnvironmentLacks when nobody answers."""
        headers = {"Accept": "application/json, application/yang-data+json"}
        if self._given_token or method != "GET" or path in PRIVILEGED_READS:
            headers["Authorization"] = f"Bearer {self.token()}"
        timeout_s = self._timeout_s if method == "GET" else max(self._timeout_s, WRITE_TIMEOUT_S)
        connection = http.client.HTTPConnection(
            self._address.hostname or "127.0.0.1", self._address.port, timeout=timeout_s
        )
        try:
            answer = _exchange(connection, method, path, body, headers)
            if answer[0] == HTTPStatus.UNAUTHORIZED and "Authorization" not in headers:  # api.require_token_for_reads
                headers["Authorization"] = f"Bearer {self.token()}"
                answer = _exchange(connection, method, path, body, headers)
            return answer
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentLacks(f"the controller does not answer at {self.url}: {error}") from error
        except ValueError as error:
            raise EnvironmentLacks(f"what answers at {self.url} is no controller: {error}") from error
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether it runs and every switch has connected."""
        try:
            status, body = self.call("GET", "/v1/healthz")
        except EnvironmentLacks:
            return False
        return status == 200 and body["switches_connected"] == body["switches"]

    def switches_connected(self) -> int:
        """How many switches are connected and repaired; none when nobody answers."""
        try:
            status, body = self.call("GET", "/v1/healthz")
        except EnvironmentLacks:
            return 0
        return int(body["switches_connected"]) if status == 200 else 0

    def answers(self) -> bool:
        """Whether it runs, with whatever switches there are."""
        try:
            return self.call("GET", "/v1/healthz")[0] == 200
        except EnvironmentLacks:
            return False

    def token(self) -> str:
        """The token that was given, else the operator's. EnvironmentLacks where there is none."""
        if self._given_token:
            return self._given_token
        if self._token_file is None:
            raise EnvironmentLacks("there is no API token: set QSLICE_TOKEN, or QSLICE_TOKEN_FILE to a file with it")
        try:
            return self._token_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise EnvironmentLacks(f"there is no API token at {self._token_file}; is the controller up?") from None


class KmsAdmin:
    """The KMS' administration: HTTP on a unix socket that only root can open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Status and decoded body; EnvironmentLacks when nobody answers."""
        connection = _UnixHttp(self._path)
        try:
            return _exchange(connection, method, path, body, {})
        except OSError as error:
            raise EnvironmentLacks(f"the KMS does not answer at {self._path}: {error}") from error
        finally:
            connection.close()

    def keys(self) -> dict[str, Any]:
        """What it holds and gives. EnvironmentLacks when nobody answers, DidNotHold when it refuses."""
        status, body = self.call("GET", "/v1/keys")
        if status != HTTPStatus.OK:
            raise DidNotHold(f"the KMS answered {status}: {body}")
        found: dict[str, Any] = body
        return found

    def is_ready(self) -> bool:
        try:
            return self.call("GET", "/v1/status")[0] == 200
        except EnvironmentLacks:
            return False


class TunnelControl:
    """One host's tunnel agent: JSON lines on a unix socket that only root can open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def request(self, op: str, **arguments: Any) -> Any:
        """The ``result`` of one request; EnvironmentLacks when the agent is absent or refuses."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TUNNEL_TIMEOUT_S)
                connection.connect(str(self._path))
                with connection.makefile("rwb") as stream:
                    stream.write(json.dumps({"id": 1, "op": op, **arguments}).encode() + b"\n")
                    stream.flush()
                    answer = json.loads(stream.readline() or b"{}")
        except (OSError, json.JSONDecodeError) as error:
            raise EnvironmentLacks(f"the tunnel does not answer at {self._path}: {error}") from error
        if not answer.get("ok"):
            message = answer.get("error", {}).get("message", "it closed the connection")
            raise EnvironmentLacks(f"the tunnel at {self._path} refused {op!r}: {message}")
        return answer["result"]

    def is_ready(self) -> bool:
        try:
            self.request("list")
        except EnvironmentLacks:
            return False
        return True


class ShelfControl(TunnelControl):
    """One site's shelf of cards: it answers like a tunnel agent, and changes nothing by request."""

    def cards(self) -> dict[str, dict[str, Any]]:
        """What each card says of itself, by wavelength. EnvironmentLacks as :meth:`request`."""
        found: dict[str, dict[str, Any]] = self.request("stats")["cards"]
        return found

    def is_up(self) -> bool:
        """Whether every card has a key, or has been told by its KME that there is none."""
        try:
            return all(card["state"] == "up" or card["key_refusals"] for card in self.cards().values())
        except EnvironmentLacks:
            return False


class _UnixHttp(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: dict[str, str]
) -> Answer:
    payload = None
    if body is not None:
        payload, headers = json.dumps(body).encode(), {**headers, "Content-Type": "application/json"}
    connection.request(method, path, body=payload, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    if "json" not in (answer.getheader("Content-Type") or ""):
        return answer.status, text.decode(errors="replace")
    return answer.status, json.loads(text) if text else None
