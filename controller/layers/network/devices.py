"""Sessions with devices by NETCONF's client: kept open, opened again when they have ended, one request at a time."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ncclient.transport.session
import paramiko
from lxml import etree
from ncclient import manager
from ncclient.operations import OperationError, RPCError, TimeoutExpiredError
from ncclient.transport.errors import TransportError

from controller.layers.network.config import DeviceAddress

log = logging.getLogger(__name__)
# The client looks for what is to be sent only so often (100 ms): a step of three requests would be all waiting.
ncclient.transport.session.TICK = 0.01
USER = "orchestrator"
ERROR_OPTION = "rollback-on-error"  # RFC 6241, 8.5
Answer = TypeVar("Answer")


class DeviceError(Exception):
    """``status`` of HTTP, ``tag`` of RFC 6241, appendix A (or none), where, and a sentence."""

    def __init__(self, status: int, tag: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.status, self.tag, self.message, self.path = status, tag, message, path


# RFC 8040, 7: the status of each error-tag; all others are 500.
STATUS = {
    "in-use": 409, "lock-denied": 409, "resource-denied": 409, "data-exists": 409, "data-missing": 409,
    "invalid-value": 400, "missing-attribute": 400, "bad-attribute": 400, "unknown-attribute": 400,
    "missing-element": 400, "bad-element": 400, "unknown-element": 400, "unknown-namespace": 400,
    "malformed-message": 400, "access-denied": 403, "too-big": 413, "operation-not-supported": 501,
    "operation-failed": 500, "rollback-failed": 500,
}  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Seconds that it took to be connected (nothing where a session was open), and for the device to answer."""

    connect_s: float
    edit_s: float


class _Device:
    def __init__(self, address: DeviceAddress) -> None:
        self.address = address
        self.turn = threading.Lock()
        self.session: Any = None


class Devices:
    """The devices by name. Any method may be called from any thread."""

    def __init__(self, addresses: dict[str, DeviceAddress], client_key: Path) -> None:
        self._devices = {name: _Device(address) for name, address in addresses.items()}
        self._key = client_key

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._devices)

    def configure(self, name: str, config: bytes, deadline_s: float) -> Timing:
        """Lock, edit, unlock (RFC 6241, 7.5, 7.2, 7.6). Raises DeviceError.

        When the device was late or went away nobody knows what became of the edit. Nothing is tried twice.
        """
        element = etree.fromstring(config)

        def edit(session: Any, left_s: Callable[[], float]) -> None:
            session.timeout = left_s()
            session.lock("running")
            try:
                session.timeout = left_s()
                session.edit_config(target="running", config=element, error_option=ERROR_OPTION)
            except RPCError:
                session.unlock("running")
                raise
            # With a session that is given up its lock goes (RFC 6241, 7.5).
            session.timeout = left_s()
            session.unlock("running")

        return self._ask(name, deadline_s, edit)[1]

    def configuration(self, name: str, deadline_s: float) -> bytes:
        """What ``<get-config>`` says: ``<data>`` with the running configuration. Raises DeviceError."""

        def read(session: Any, left_s: Callable[[], float]) -> bytes:
            session.timeout = left_s()
            return bytes(etree.tostring(session.get_config("running").data))

        return self._ask(name, deadline_s, read)[0]

    def _ask(
        self, name: str, deadline_s: float, question: Callable[[Any, Callable[[], float]], Answer]
    ) -> tuple[Answer, Timing]:
        device = self._devices.get(name)
        if device is None:
            raise DeviceError(404, "invalid-value", f"there is no device {name}")
        began = time.monotonic()
        if not device.turn.acquire(timeout=deadline_s):
            raise DeviceError(504, "operation-failed", f"device {name}: others' requests took {deadline_s:g} s")
        try:
            with _told(name, deadline_s):
                session = self._connected(device, max(0.001, began + deadline_s - time.monotonic()))
                connected = time.monotonic()
                answer = question(session, lambda: max(0.001, began + deadline_s - time.monotonic()))
                return answer, Timing(connected - began, time.monotonic() - connected)
        except DeviceError as error:
            if error.status in (502, 504):  # what it still says, nobody would know to what
                _drop(device)
            raise
        finally:
            device.turn.release()

    def _connected(self, device: _Device, deadline_s: float) -> Any:
        if device.session is not None and device.session.connected:
            return device.session
        _drop(device)
        address = device.address
        device.session = manager.connect_ssh(
            host=address.host, port=address.port, username=USER, key_filename=str(self._key),
            hostkey_b64=address.host_key, hostkey_verify=True, allow_agent=False, look_for_keys=False,
            timeout=deadline_s, manager_params={"timeout": deadline_s},
        )  # fmt: skip
        return device.session


def _drop(device: _Device) -> None:
    session, device.session = device.session, None
    if session is not None:
        with contextlib.suppress(Exception):  # it is given up, whatever it says to that
            session._session.close()


@contextlib.contextmanager
def _told(name: str, deadline_s: float) -> Iterator[None]:
    """What goes wrong with a device, as DeviceError."""
    try:
        yield
    except RPCError as error:
        tag = str(error.tag)
        raise DeviceError(STATUS.get(tag, 500), tag, f"device {name}: {error.message}", error.path) from error
    except TimeoutExpiredError as error:
        raise DeviceError(504, "operation-failed", f"device {name}: no answer within {deadline_s:g} s") from error
    except (TransportError, OperationError, paramiko.SSHException, OSError, EOFError) as error:
        raise DeviceError(502, "operation-failed", f"device {name}: {error or type(error).__name__}") from error
