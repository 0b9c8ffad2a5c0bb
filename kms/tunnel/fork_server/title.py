"""What ps(1) and top(1) show of a process: its arguments and its name, changed while it runs.

The arguments stand where the kernel put them when the program was started (proc_pid_cmdline(5)); they can be
overwritten, but not with more than there is room for.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_PR_SET_NAME = 15
_MAX_NAME_BYTES = 15
_ARG_START, _ARG_END = 47, 48  # proc_pid_stat(5), counted from 0
_AFTER_NAME = 2  # fields before the first that follows the name, which may have blanks
_LIBC = ctypes.CDLL(None, use_errno=True)


def set_title(name: str, arguments: list[str]) -> None:
    """Be ``name`` (cut to 15 octets) and ``arguments``, of which what does not fit is left out."""
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:_MAX_NAME_BYTES] + b"\0", 0, 0, 0)
    start, end = _place()
    text = b"\0".join(argument.encode() for argument in arguments)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def _place() -> tuple[int, int]:
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return int(fields[_ARG_START - _AFTER_NAME]), int(fields[_ARG_END - _AFTER_NAME])
