"""What the kernel tells of changes is read to the end, and no error of the socket makes that endless."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from kms.tunnel.dataplane.host_events import HostEvents


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM])
def test_reading_ends_with_an_error_even_with_one_that_stays(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    class Full(socket.socket):
        def recv(self, *_: int) -> bytes:
            if len(read) == 3:
                raise OSError(number, os.strerror(number))
            read.append(b"a change")
            return read[-1]

    monkeypatch.setattr(socket, "socket", Full)
    events = HostEvents()
    try:
        events.drain()
    finally:
        events.close()
    assert len(read) == 3
