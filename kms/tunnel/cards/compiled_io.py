"""The two loops over frames at a client's port, compiled by numba: reading many, tagged, and writing many, untagged.

A call of the interpreter's for each frame takes as long as the kernel does for it. These are the only compiled loops
that make system calls: they call the C library by the names of its functions, and tell errors by number. What they
read and write has been measured by :mod:`kms.tunnel.cards.frames_out` and :mod:`kms.tunnel.cards.frames_in`.

The machine code is kept as that of :mod:`kms.tunnel.packet.compiled_loops` is.
"""

# The types that count here are numba's signatures.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from numba import njit, types

from kms.tunnel.packet.ethernet import ADDRESSES_BYTES, TAG_BYTES

_read = types.ExternalFunction("read", types.intp(types.int32, types.uintp, types.uintp))
_write = types.ExternalFunction("write", types.intp(types.int32, types.uintp, types.uintp))
_errno = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())


@njit("int64(int64, uint8[::1], int64, int64, int64[::1])", cache=True)
def read_frames(fd, room, tag, step, lengths):
    """Read frames to ``room``, ``step`` octets from one to the next, each with the ``tag`` (a number) behind its
    addresses, until there is no more or all ``lengths`` are filled, which are those without tag. How many; if an error
    ended it, -1 less that many, and the last of ``lengths`` has the error's number.

    Of a frame of ``step`` octets without those of the tag the end may be missing.
    """
    for n in range(lengths.size):
        start = n * step
        got = _read(fd, room.ctypes.data + start + TAG_BYTES, step - TAG_BYTES)
        if got < 0:
            lengths[lengths.size - 1] = _errno()[0]
            return -n - 1
        for octet in range(start, start + ADDRESSES_BYTES):
            room[octet] = room[octet + TAG_BYTES]
        for octet in range(TAG_BYTES):
            room[start + ADDRESSES_BYTES + octet] = (tag >> 8 * (TAG_BYTES - 1 - octet)) & 0xFF
        lengths[n] = got
    return lengths.size


@njit("int64(int64, uint8[::1], int64, int64, int64)", cache=True)
def write_frames(fd, octets, step, count, length):
    """Write the ``count`` frames of ``length`` octets that stand in ``octets``, ``step`` from one to the next, without
    their tags, which are overwritten. In the lower 32 bits the number of the error that ended it, else 0; above them
    how many have been written."""
    for n in range(count):
        start = n * step
        for octet in range(start + ADDRESSES_BYTES - 1, start - 1, -1):
            octets[octet + TAG_BYTES] = octets[octet]
        if _write(fd, octets.ctypes.data + start + TAG_BYTES, length - TAG_BYTES) < 0:
            return n << 32 | _errno()[0]
    return count << 32
