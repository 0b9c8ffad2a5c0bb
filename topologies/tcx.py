"""Adapter: a device's outgoing packets led to another device by a program in the kernel (eBPF, tcx; Linux 6.6 on).

The program is eight instructions, and is there for as long as its holder: the kernel takes it off when that ends.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
# linux/bpf.h
_PROG_LOAD, _LINK_CREATE = 5, 28
_SCHED_CLS, _TCX_EGRESS, _TCX_NEXT = 3, 47, -1
_REDIRECT = 23  # the helper bpf_redirect(ifindex, flags)
_MARK_OFFSET = 8  # of __sk_buff.mark
_INSTRUCTION = struct.Struct("=BBhi")  # opcode, registers, offset, constant
_LIBC = ctypes.CDLL(None, use_errno=True)


class TcxError(OSError):
    """This kernel cannot, or does not allow it."""


def redirect(device: int, to: int, mark: int) -> int:
    """Lead what device number ``device`` sends to device ``to``, but for packets with that mark.

    The descriptor that holds it: closed, and it is over. TcxError.
    """
    program = _load(_program(to, mark))
    try:
        return _bpf(_LINK_CREATE, struct.pack("=IIII", program, device, _TCX_EGRESS, 0))
    finally:
        os.close(program)


def is_supported() -> bool:
    """Whether this machine can; tried on a namespace of its own, which goes away by itself."""
    words = [sys.executable, "-c", "import topologies.tcx as t; t.redirect(1, 1, 1)"]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(["unshare", "--net", *words], capture_output=True, check=False, env={"PYTHONPATH": root})
    return done.returncode == 0


def _program(to: int, mark: int) -> bytes:
    return b"".join(
        (
            _INSTRUCTION.pack(0x61, 0x12, _MARK_OFFSET, 0),  # r2 = *(u32 *)(r1 + 8)
            _INSTRUCTION.pack(0x15, 0x02, 4, mark),  # if r2 == mark goto +4
            _INSTRUCTION.pack(0xB7, 0x01, 0, to),  # r1 = to
            _INSTRUCTION.pack(0xB7, 0x02, 0, 0),  # r2 = 0
            _INSTRUCTION.pack(0x85, 0x00, 0, _REDIRECT),  # call
            _INSTRUCTION.pack(0x95, 0x00, 0, 0),  # return what it says
            _INSTRUCTION.pack(0xB7, 0x00, 0, _TCX_NEXT),  # r0 = next
            _INSTRUCTION.pack(0x95, 0x00, 0, 0),  # return
        )
    )


def _load(program: bytes) -> int:
    code = ctypes.create_string_buffer(program, len(program))
    license_ = ctypes.create_string_buffer(b"GPL")
    count = len(program) // _INSTRUCTION.size
    return _bpf(_PROG_LOAD, struct.pack("=IIQQ", _SCHED_CLS, count, ctypes.addressof(code), ctypes.addressof(license_)))


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        raise TcxError(f"bpf(2) is not known on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = int(_LIBC.syscall(number, command, ctypes.byref(buffer), len(buffer)))
    if result < 0:
        code = ctypes.get_errno()
        raise TcxError(code, f"bpf(2): {os.strerror(code)}")
    return result
