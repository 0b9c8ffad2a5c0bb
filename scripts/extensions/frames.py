"""Messages between an extension's process and whoever asks it: JSON behind its length, over a socket."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

MOST_BYTES = 64 << 20
_HEAD = struct.Struct("!I")


class Ended(Exception):
    """The other side is gone."""


class TooLong(Exception):
    """A message longer than any may be."""


def send(to: socket.socket, message: Any) -> None:
    """Raises OSError, TimeoutError among them."""
    body = json.dumps(message, separators=(",", ":")).encode()
    to.sendall(_HEAD.pack(len(body)) + body)


def receive(of: socket.socket, until: float | None = None) -> Any:
    """The next message, by ``until`` (time.monotonic). Raises TimeoutError, Ended, TooLong, ValueError."""
    (length,) = _HEAD.unpack(_exactly(of, _HEAD.size, until))
    if length > MOST_BYTES:
        raise TooLong(f"a message of {length} bytes")
    return json.loads(_exactly(of, length, until))


def _exactly(of: socket.socket, count: int, until: float | None) -> bytes:
    found = bytearray()
    while len(found) < count:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            of.settimeout(left)
        try:
            more = of.recv(min(count - len(found), 1 << 20))
        except ConnectionError as error:
            raise Ended from error
        if not more:
            raise Ended
        found += more
    return bytes(found)
