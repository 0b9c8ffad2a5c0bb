"""Lets go of code that was only needed to get ready: the compiler of the packet loops alone is 70 MB in memory."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

_MADV_DONTNEED = 4
_LIBC = ctypes.CDLL(None, use_errno=True)
_MAPPING = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<rights>\S+) \S+ \S+ \d+ +/(?P<rest>.*?)"
    r"^Anonymous: +(?P<anonymous>\d+) kB$",
    re.MULTILINE | re.DOTALL,
)


def let_go_of_code() -> None:
    """Unmap the pages of all files that this process maps without having changed anything in them.

    Whoever needs one again, this process or a fork of it, gets it from the system's cache of the file. Raises OSError.
    """
    for start, end in _unchanged_files(Path("/proc/self/smaps").read_text()):
        if _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _unchanged_files(smaps: str) -> Iterator[tuple[int, int]]:
    """First address and the one after the last of read-only mappings of files, as proc(5) shows them.

    A page that was written to before its mapping became read-only (RELRO) counts as anonymous: it is in no file.
    """
    for found in _MAPPING.finditer(smaps):
        if found["rights"] in ("r--p", "r-xp") and found["anonymous"] == "0":
            yield int(found["start"], 16), int(found["end"], 16)
