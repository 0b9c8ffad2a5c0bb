"""A bridge by OpenFlow 1.3 over its management socket: what it holds, and changes confirmed by a barrier.

Open vSwitch serves that socket beside the connections of its controllers (ovs-vswitchd(8)): whoever speaks there has no
role, is sent no packets and no news of ports, and takes nothing from a controller. A connection lives as long as one
question or one change.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ryu.ofproto import ofproto_parser
from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as parser13

from controller.forwarding.intended import Changes
from controller.forwarding.items import Item
from controller.southbound.openflow_codec import group_from_stats, messages_for, meter_from_config, rule_from_stats

TIMEOUT_S = 5.0
_HEADER = 8


class BridgeError(Exception):
    """The bridge is not there, does not answer, or says what it must not."""


class BridgeRefused(BridgeError):
    """The bridge refused a change, of which part may have been made."""


class Bridge:
    """The bridge of ``site`` whose management socket is ``path``."""

    def __init__(self, site: str, path: Path) -> None:
        self._site, self._path = site, path

    def installed(self) -> tuple[Item, ...]:
        """Every rule, meter and group. Raises BridgeError."""
        with _Connection(self._path) as connection:
            flows = connection.ask(parser13.OFPFlowStatsRequest(connection))
            meters = connection.ask(parser13.OFPMeterConfigStatsRequest(connection))
            groups = connection.ask(parser13.OFPGroupDescStatsRequest(connection, 0))
        return (
            *(rule_from_stats(self._site, stats) for stats in flows),
            *(meter_from_config(self._site, config) for config in meters),
            *(group_from_stats(self._site, stats) for stats in groups),
        )

    def ports(self) -> dict[int, Any]:
        """The bridge's description of its ports, by number. Raises BridgeError."""
        with _Connection(self._path) as connection:
            return {p.port_no: p for p in connection.ask(parser13.OFPPortDescStatsRequest(connection, 0))}

    def change(self, changes: Changes) -> None:
        """All of it, when this returns. Raises BridgeRefused, BridgeError."""
        with _Connection(self._path) as connection:
            refused = connection.do([message for message, _ in messages_for(connection, changes)])
        if refused:
            raise BridgeRefused("; ".join(refused))


class _Connection:
    """As Ryu's messages want a datapath: it numbers them, and knows the version."""

    ofproto, ofproto_parser = of13, parser13

    def __init__(self, path: Path) -> None:
        self._path = path
        self._xid = 0
        self._deadline = time.monotonic() + TIMEOUT_S
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> _Connection:
        try:
            self._socket.settimeout(TIMEOUT_S)
            self._socket.connect(str(self._path))
            self._send(parser13.OFPHello(self))
        except OSError as error:
            self._socket.close()
            raise BridgeError(f"{self._path}: {error.strerror or error}") from error
        except BridgeError:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def set_xid(self, message: Any) -> int:
        self._xid += 1
        message.set_xid(self._xid)
        return self._xid

    def ask(self, request: Any) -> list[Any]:
        """All parts of the answer. Raises BridgeError."""
        self._send(request)
        found: list[Any] = []
        for message in self._messages():
            if message.xid != request.xid:
                continue
            if isinstance(message, parser13.OFPErrorMsg):
                raise BridgeError(f"{self._path}: OpenFlow error type {message.type} code {message.code}")
            found.extend(message.body)
            if not message.flags & of13.OFPMPF_REPLY_MORE:
                break
        return found

    def do(self, messages: list[Any]) -> list[str]:
        """Send them and a barrier; what was refused of them. Raises BridgeError."""
        barrier = parser13.OFPBarrierRequest(self)
        self._send(*messages, barrier)
        sent = {message.xid: type(message).__name__.lstrip("_") for message in messages}
        refused = []
        for message in self._messages():
            if isinstance(message, parser13.OFPErrorMsg) and message.xid in sent:
                refused.append(f"{sent[message.xid]}: OpenFlow error type {message.type} code {message.code}")
            if message.xid == barrier.xid:
                break
        return refused

    def _send(self, *messages: Any) -> None:
        octets = bytearray()
        for message in messages:
            self.set_xid(message)
            message.serialize()
            octets += message.buf
        try:
            self._socket.sendall(octets)
        except OSError as error:
            raise BridgeError(f"{self._path}: {error.strerror or error}") from error

    def _messages(self) -> Iterator[Any]:
        buffer = bytearray()
        while True:
            while len(buffer) >= _HEADER:
                version, kind, length, xid = ofproto_parser.header(bytes(buffer))
                if len(buffer) < length:
                    break
                yield ofproto_parser.msg(self, version, kind, length, xid, bytes(buffer[:length]))
                del buffer[:length]
            buffer += self._receive()

    def _receive(self) -> bytes:
        left = self._deadline - time.monotonic()
        try:
            self._socket.settimeout(max(left, 0.001))
            octets = self._socket.recv(1 << 16)
        except TimeoutError as error:
            raise BridgeError(f"{self._path}: no answer within {TIMEOUT_S:g} s") from error
        except OSError as error:
            raise BridgeError(f"{self._path}: {error.strerror or error}") from error
        if not octets:
            raise BridgeError(f"{self._path}: closed")
        return octets
