"""The switches' configuration database (OVSDB, RFC 7047) over its unix socket: how fast channels are watched."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.model.errors import DriverError
from controller.monitoring.bfd_intervals import Pace

TIMEOUT_S = 5.0
READ_BYTES = 1 << 16


class OvsdbError(DriverError):
    """The database could not be reached, or refused."""


class OvsdbClient:
    """Implements :class:`controller.operations.drivers.Watches`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set_paces(self, paces: Mapping[str, Pace]) -> None:
        """Let the BFD sessions of these interfaces send and expect packets at another pace.

        Only where BFD is on: whoever built the network decides that (see ``topologies/bfd.py``).
        """
        if not paces:
            return
        changes = [
            {
                "op": "mutate", "table": "Interface",
                "where": [["name", "==", name], ["bfd", "includes", ["map", [["enable", "true"]]]]],
                # A key that is there is not overwritten by an insertion (RFC 7047, 5.1).
                "mutations": [
                    ["bfd", "delete", ["set", ["min_tx", "min_rx", "mult"]]],
                    ["bfd", "insert", ["map", [
                        ["min_tx", str(pace.interval_ms)], ["min_rx", str(pace.interval_ms)],
                        ["mult", str(pace.multiplier)],
                    ]]],
                ],
            }
            for name, pace in paces.items()
        ]  # fmt: skip
        for result in self._transact(changes):
            if isinstance(result, dict) and "error" in result:
                raise OvsdbError(f"database {self._path}: {result['error']}: {result.get('details', '')}")

    def _transact(self, operations: list[dict[str, Any]]) -> list[Any]:
        request = {"method": "transact", "params": ["Open_vSwitch", *operations], "id": 1}
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(TIMEOUT_S)
                sock.connect(str(self._path))
                sock.sendall(json.dumps(request).encode())
                answer = _read_answer(sock)
        except OSError as error:
            raise OvsdbError(f"database {self._path}: {error}") from error
        if answer.get("error"):
            raise OvsdbError(f"database {self._path}: {answer['error']}")
        result = answer.get("result")
        return result if isinstance(result, list) else []


def _read_answer(sock: socket.socket) -> dict[str, Any]:
    """The first answer on the stream; messages have no frame but their own syntax (RFC 7047, 4)."""
    decoder, text = json.JSONDecoder(), ""
    while True:
        chunk = sock.recv(READ_BYTES)
        if not chunk:
            raise ConnectionError("closed without an answer")
        text += chunk.decode()
        try:
            answer, _ = decoder.raw_decode(text)
        except ValueError:
            continue
        if isinstance(answer, dict) and answer.get("id") == 1:
            return answer
        raise ConnectionError("not an answer to what was asked")
