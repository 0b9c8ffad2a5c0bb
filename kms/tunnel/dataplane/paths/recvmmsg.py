"""recvmmsg(2) for datagrams that come one by one: many of one length with one call, side by side in one buffer.

Where the network joins nothing (software switches), a call of Python's for each datagram costs more than to decrypt it.
The interpreter has no recvmmsg; this is the only file that goes around it, with the structures of <sys/socket.h> as
arrays. Each datagram has a slot as long as is expected, and behind it room for whatever a longer one brings: nothing
is cut off. Memory that no longer one has been written to is never touched, and so never taken.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys

import numpy as np

from kms.tunnel.packet.room import Room

MAX_DATAGRAMS = 256
_MAX_UDP_BYTES = 65536
_CONTROL_BYTES = socket.CMSG_SPACE(4)
_CMSG_HEADER_BYTES = socket.CMSG_LEN(0)

# struct mmsghdr of 64-bit Linux: a msghdr of 56 octets, and how many octets have come.
_MMSGHDR = np.dtype(
    {
        "names": ["iov", "iovlen", "control", "controllen", "received"],
        "formats": ["u8", "u8", "u8", "u8", "u4"],
        "offsets": [16, 24, 32, 40, 56],
        "itemsize": 64,
    }
)
_LIBC = ctypes.CDLL(None, use_errno=True)

IS_AVAILABLE = ctypes.sizeof(ctypes.c_void_p) == 8 and hasattr(_LIBC, "recvmmsg")


class ManyReceiver:
    """Receives datagrams of ``size`` octets each to the beginning of ``buffer``, as many as fit into ``most``."""

    def __init__(self, udp: socket.socket, buffer: Room, size: int, most: int) -> None:
        self.size = size
        self.capacity = min(MAX_DATAGRAMS, most // size)
        self._fd = udp.fileno()
        self._buffer = memoryview(buffer)
        self._longer = np.zeros((self.capacity, _MAX_UDP_BYTES), np.uint8)
        self._control = np.zeros((self.capacity, _CONTROL_BYTES), np.uint8)
        self._vectors = np.zeros((self.capacity, 2, 2), np.uint64)
        self._headers = np.zeros(self.capacity, _MMSGHDR)
        number = np.arange(self.capacity, dtype=np.uint64)
        self._vectors[:, 0, 0] = _address(np.frombuffer(buffer, np.uint8)) + number * size
        self._vectors[:, 0, 1] = size
        self._vectors[:, 1, 0] = _address(self._longer) + number * _MAX_UDP_BYTES
        self._vectors[:, 1, 1] = _MAX_UDP_BYTES
        self._headers["iov"] = _address(self._vectors) + number * self._vectors.strides[0]
        self._headers["iovlen"] = 2
        self._headers["control"] = _address(self._control) + number * _CONTROL_BYTES
        self._control_lengths, self._lengths = self._headers["controllen"], self._headers["received"]
        self._pointer = ctypes.c_void_p(int(_address(self._headers)))

    def receive(self) -> int:
        """How many have come, one at least; OSError (BlockingIOError when there is none)."""
        self._control_lengths[:] = _CONTROL_BYTES
        count = int(_LIBC.recvmmsg(self._fd, self._pointer, self.capacity, socket.MSG_DONTWAIT, None))
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count

    def are_regular(self, count: int) -> bool:
        """Whether the first ``count`` are of the length that was expected, side by side."""
        return bool((self._lengths[:count] == self.size).all())

    def message(self, number: int) -> tuple[bytes, int]:
        """What has come, and of how many octets each datagram in it is: the kernel may have joined some (UDP_GRO)."""
        length = int(self._lengths[number])
        start = number * self.size
        data = bytes(self._buffer[start : start + min(length, self.size)])
        if length > self.size:
            data += self._longer[number, : length - self.size].tobytes()
        if self._control_lengths[number] <= _CMSG_HEADER_BYTES:
            return data, length
        step = self._control[number, _CMSG_HEADER_BYTES : _CMSG_HEADER_BYTES + 4].tobytes()
        return data, int.from_bytes(step, sys.byteorder)


def _address(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> np.uint64:
    return np.uint64(array.ctypes.data)
