"""The running configuration (RFC 6241, 5.1): what the bridge holds, read anew each time and so never out of date.

Others configure the bridge too: restoration goes over the controller's own OpenFlow connection.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from controller.device_model.edits import DataExists, DataMissing, Edit, apply
from controller.device_model.entries import Entry, Key, SwitchModel
from controller.device_model.kinds import DeviceKind, kind_of
from controller.forwarding.intended import Changes, compare
from controller.forwarding.items import Item
from controller.layers.device.bridge import BridgeError, BridgeRefused
from controller.layers.device.rpc import RpcError
from controller.layers.device.schema import Schema

log = logging.getLogger(__name__)


class Switch(Protocol):
    """What of a bridge is needed (:class:`controller.layers.device.bridge.Bridge`)."""

    def installed(self) -> Iterable[Item]: ...
    def ports(self) -> dict[int, Any]: ...
    def change(self, changes: Changes) -> None: ...


class Running:
    """One edit at a time. ``takes_s``: how long a device of each kind is said to need for one."""

    def __init__(
        self,
        model: SwitchModel,
        schema: Schema,
        bridge: Switch,
        takes_s: dict[DeviceKind, float],
        *,
        has_optical_switch: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model, self._schema, self._bridge = model, schema, bridge
        self._takes_s, self._has_optical_switch, self._sleep = takes_s, has_optical_switch, sleep
        self._one = threading.Lock()

    @property
    def interfaces(self) -> tuple[str, ...]:
        return self._model.interfaces

    def entries(self) -> dict[Key, Entry]:
        """Raises RpcError."""
        try:
            return {entry.key: entry for entry in self._model.entries(self._bridge.installed())}
        except BridgeError as error:
            raise _failed(error) from error

    def states(self) -> dict[str, str]:
        """Whether each interface is up (RFC 8343, oper-status). Raises RpcError."""
        try:
            ports = self._bridge.ports()
        except BridgeError as error:
            raise _failed(error) from error
        names = {port.name.decode().rstrip("\0"): port for port in ports.values()}
        return {name: "down" if port.state & 1 or port.config & 1 else "up" for name, port in names.items()}

    def edit(self, edits: Iterable[Edit], is_wanted: Callable[[], bool]) -> None:
        """All of them, or none (``rollback-on-error``). Whoever is gone by the time they would be made wants none.

        Raises RpcError.
        """
        edits = tuple(edits)
        with self._one:
            self._take_time(edits)
            before = self.entries()
            try:
                after = apply(before, edits)
            except DataExists as error:
                raise RpcError("data-exists", "it is there already", path=str(error)) from error
            except DataMissing as error:
                raise RpcError("data-missing", "it is not there", path=str(error)) from error
            self._schema.check(self.interfaces, after.values())
            if not is_wanted():
                raise RpcError("operation-failed", "the session has ended")
            self._make(before, after)

    def _take_time(self, edits: tuple[Edit, ...]) -> None:
        client = self.interfaces[0]  # the host's port comes first
        needed = self._takes_s.get(kind_of(edits, client, has_optical_switch=self._has_optical_switch), 0.0)
        if needed:
            self._sleep(needed)

    def _make(self, before: dict[Key, Entry], after: dict[Key, Entry]) -> None:
        held, wanted = self._model.items(before.values()), self._model.items(after.values())
        difference = compare(wanted, held)
        if difference.is_empty:
            return
        try:
            self._bridge.change(difference.repair())
        except BridgeRefused as error:
            self._undo(before)
            raise _failed(error) from error
        except BridgeError as error:
            raise _failed(error) from error

    def _undo(self, before: dict[Key, Entry]) -> None:
        try:
            held = [item for item in self._bridge.installed() if self._model.entry(item) is not None]
            self._bridge.change(compare(self._model.items(before.values()), held).repair())
        except BridgeError as error:
            log.error("what was refused could not be undone: %s", error)


def _failed(error: BridgeError) -> RpcError:
    return RpcError("operation-failed", f"the bridge: {error}")
