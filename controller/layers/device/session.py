"""One NETCONF session: hello, then one request after the other until it ends (RFC 6241, 1.3 and 7)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from lxml import etree

from controller.device_model.edits import NETCONF, TOP, entry_xml
from controller.layers.device.framing import Framing, FramingError, chunked, marked
from controller.layers.device.rpc import (
    BASE_1_1,
    Rpc,
    RpcError,
    capabilities_of,
    data,
    hello,
    ok,
    parse_rpc,
    refusal,
)
from controller.layers.device.running import Running
from controller.layers.device.schema import Schema, default_operation, interfaces_xml

log = logging.getLogger(__name__)
MAX_READ = 1 << 16


class Stream(Protocol):
    """What of an SSH channel is needed."""

    @property
    def closed(self) -> bool: ...
    @property
    def eof_received(self) -> bool: ...
    def recv(self, nbytes: int) -> bytes: ...
    def sendall(self, s: bytes) -> None: ...


class Locks:
    """Who has locked the running configuration (RFC 6241, 7.5)."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._owner: int | None = None

    def take(self, session: int) -> None:
        """Raises RpcError."""
        with self._guard:
            if self._owner is not None:
                raise RpcError("lock-denied", f"session {self._owner} has locked the configuration", "protocol",
                               info=(("session-id", str(self._owner)),))  # fmt: skip
            self._owner = session

    def give(self, session: int) -> None:
        """Raises RpcError."""
        with self._guard:
            if self._owner != session:
                raise RpcError("operation-failed", "this session has not locked the configuration", "protocol")
            self._owner = None

    def require_free(self, session: int) -> None:
        """Raises RpcError when another session holds it."""
        with self._guard:
            if self._owner not in (None, session):
                raise RpcError("in-use", f"session {self._owner} has locked the configuration", "protocol")

    def end(self, session: int) -> None:
        """Of a session: its lock goes with it (7.5)."""
        with self._guard:
            if self._owner == session:
                self._owner = None


class Session:
    """``number`` identifies it to other sessions."""

    def __init__(self, number: int, stream: Stream, running: Running, schema: Schema, locks: Locks) -> None:
        self._number, self._stream, self._locks = number, stream, locks
        self._running, self._schema = running, schema
        self._framing = Framing()
        self._frame = marked
        self._ended = False
        self._operations: Mapping[str, Callable[[Rpc], bytes]] = {
            "get-config": self._get_config,
            "get": self._get,
            "edit-config": self._edit_config,
            "lock": self._lock,
            "unlock": self._unlock,
            "close-session": self._close,
        }

    def serve(self) -> None:
        """Until either end closes, or does not keep to the protocol."""
        try:
            self._greet()
            while not self._ended:
                octets = self._next()
                if octets is None:
                    return
                self._stream.sendall(self._frame(self._answer(octets)))
        except (FramingError, RpcError) as error:
            log.warning("session %d: %s", self._number, error)
        except OSError as error:
            log.info("session %d: %s", self._number, error)
        finally:
            self._locks.end(self._number)

    def _greet(self) -> None:
        self._stream.sendall(marked(hello(self._number, self._schema.capabilities)))
        octets = self._next()
        if octets is not None and BASE_1_1 in capabilities_of(octets):
            self._framing.use_chunks()
            self._frame = chunked

    def _next(self) -> bytes | None:
        """A whole message; None at the end."""
        while (message := self._framing.message()) is None:
            octets = self._stream.recv(MAX_READ)
            if not octets:
                return None
            self._framing.feed(octets)
        return message

    def _answer(self, octets: bytes) -> bytes:
        attributes: dict[str, str] = {}
        try:
            rpc = parse_rpc(octets)
            attributes = rpc.attributes
            operation = self._operations.get(rpc.name)
            if operation is None or etree.QName(rpc.operation).namespace != NETCONF:
                raise RpcError("operation-not-supported", f"{rpc.name} is not done here", "protocol")
            return operation(rpc)
        except RpcError as error:
            log.info("session %d: refused: %s: %s", self._number, error.tag, error.message)
            return refusal(attributes, error)

    # --- operations ----------------------------------------------------------------------------------------------

    def _get_config(self, rpc: Rpc) -> bytes:
        _require_running(rpc, "source")
        return data(rpc.attributes, _filtered(rpc, [interfaces_xml(self._running.interfaces), self._cross_connects()]))

    def _get(self, rpc: Rpc) -> bytes:
        interfaces = interfaces_xml(self._running.interfaces, self._running.states())
        return data(rpc.attributes, _filtered(rpc, [interfaces, self._cross_connects()]))

    def _cross_connects(self) -> Any:
        top = etree.Element(TOP, nsmap={None: str(etree.QName(TOP).namespace)})
        for _, entry in sorted(self._running.entries().items(), key=lambda each: str(each[0])):
            entry_xml(top, entry)
        return top

    def _edit_config(self, rpc: Rpc) -> bytes:
        _require_running(rpc, "target")
        self._locks.require_free(self._number)
        config = rpc.operation.find(f"{{{NETCONF}}}config")
        if config is None:
            raise RpcError("missing-element", "config", "protocol", info=(("bad-element", "config"),))
        edits = self._schema.edits(config, default_operation(rpc.operation))
        self._running.edit(edits, self._is_there)
        log.info("session %d: %d edits made", self._number, len(edits))
        return ok(rpc.attributes)

    def _is_there(self) -> bool:
        return not (self._stream.closed or self._stream.eof_received)

    def _lock(self, rpc: Rpc) -> bytes:
        _require_running(rpc, "target")
        self._locks.take(self._number)
        return ok(rpc.attributes)

    def _unlock(self, rpc: Rpc) -> bytes:
        _require_running(rpc, "target")
        self._locks.give(self._number)
        return ok(rpc.attributes)

    def _close(self, rpc: Rpc) -> bytes:
        self._ended = True
        return ok(rpc.attributes)


def _require_running(rpc: Rpc, where: str) -> None:
    """The one datastore that there is. Raises RpcError."""
    if rpc.operation.find(f"{{{NETCONF}}}{where}/{{{NETCONF}}}running") is None:
        raise RpcError("invalid-value", f"{where}: there is the running configuration alone", "protocol")


def _filtered(rpc: Rpc, tops: list[Any]) -> list[Any]:
    """What a subtree filter (RFC 6241, 6) asks for, by the top of each model."""
    wanted = rpc.operation.find(f"{{{NETCONF}}}filter")
    if wanted is None:
        return tops
    if wanted.get("type", "subtree") != "subtree":
        raise RpcError("operation-not-supported", "filters are subtrees here", "protocol")
    if any(len(each) for each in wanted):
        raise RpcError("operation-not-supported", "a filter names the top of a model here, and nothing below it")
    names = {each.tag for each in wanted}
    return [top for top in tops if top.tag in names]
