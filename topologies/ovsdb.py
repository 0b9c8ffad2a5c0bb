"""Adapter: transactions of Open vSwitch's database (RFC 7047) over its unix socket.

``ovs-vsctl`` looks up each of its words among all rows: a hundred bridges take it three seconds of a processor.
"""

from __future__ import annotations

import codecs
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from topologies.errors import NetworkError

Operation = dict[str, Any]
# Who is not there is noticed at once; this is for machines that are slow, and the rest for networks that are large.
_TIMEOUT_S, _TIMEOUT_OF_OPERATION_S = 300.0, 0.5
_POLL_S = 0.01
_READ_BYTES = 1 << 16
_CONFIGURATION = "Open_vSwitch"


def database_socket() -> Path:
    """Where the database listens (``OVS_RUNDIR`` moves it, as for Open vSwitch's own tools)."""
    return Path(os.environ.get("OVS_RUNDIR", "/var/run/openvswitch"), "db.sock")


class Database:
    """A connection to it; use it as a context manager. NetworkError when nobody answers, or it refuses."""

    def __init__(self) -> None:
        self._path = database_socket()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT_S)
        self._text = ""
        self._octets = codecs.getincrementaldecoder("utf-8")("replace")  # others' names may be anything
        self._asked = 0
        try:
            self._socket.connect(str(self._path))
        except OSError as error:
            self._socket.close()
            raise NetworkError(f"Open vSwitch does not answer at {self._path}: {error.strerror}") from error

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def transact(self, operations: list[Operation]) -> list[Any]:
        """All of them or none; the result of each."""
        self._asked += 1
        request = {"method": "transact", "params": [_CONFIGURATION, *operations], "id": self._asked}
        try:
            self._socket.sendall(json.dumps(request).encode())
            answer = self._answer()
        except OSError as error:
            raise NetworkError(f"Open vSwitch at {self._path}: {error}") from error
        results: list[Any] = answer.get("result") or []
        for result in (answer.get("error"), *results):
            if isinstance(result, dict) and "error" in result:
                raise NetworkError(f"Open vSwitch: {result['error']}: {result.get('details', '')}")
        return results

    def configure(self, operations: list[Operation], *, wait: bool = True) -> None:
        """Operations that ovs-vswitchd has carried out when this returns; without ``wait`` it need not be there."""
        of_configuration = {"table": _CONFIGURATION, "where": []}
        count = {"op": "mutate", **of_configuration, "mutations": [["next_cfg", "+=", 1]]}
        results = self.transact([*operations, count, {"op": "select", **of_configuration, "columns": ["next_cfg"]}])
        wanted = results[len(operations) + 1]["rows"][0]["next_cfg"]
        timeout_s = _TIMEOUT_S + len(operations) * _TIMEOUT_OF_OPERATION_S
        deadline = time.monotonic() + timeout_s
        while wait:
            (done,) = self.transact([{"op": "select", **of_configuration, "columns": ["cur_cfg"]}])
            if done["rows"][0]["cur_cfg"] >= wanted:
                return
            if time.monotonic() > deadline:
                raise NetworkError(f"ovs-vswitchd has not done what it was told within {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    def _answer(self) -> dict[str, Any]:
        """The answer to what was asked last; messages have no frame but their own syntax (RFC 7047, 4)."""
        decoder = json.JSONDecoder()
        while True:
            try:
                answer, end = decoder.raw_decode(self._text)
            except ValueError:
                chunk = self._socket.recv(_READ_BYTES)
                if not chunk:
                    raise ConnectionError("closed without an answer") from None
                self._text += self._octets.decode(chunk)
                continue
            self._text = self._text[end:].lstrip()
            if answer.get("method") == "echo":
                self._socket.sendall(
                    json.dumps({"id": answer["id"], "result": answer["params"], "error": None}).encode()
                )
            elif answer.get("id") == self._asked:
                return dict(answer)


def change_bridges(how: str, uuids: list[Any]) -> Operation:
    """``insert`` bridges into, or ``delete`` them from, those that there shall be."""
    return {
        "op": "mutate", "table": _CONFIGURATION, "where": [], "mutations": [["bridges", how, ["set", uuids]]],
    }  # fmt: skip
