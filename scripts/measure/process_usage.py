"""What a process takes of the machine, as /proc tells it (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER_TICKS, _SYSTEM_TICKS = 11, 12  # proc_pid_stat(5), counted from behind the name


@dataclass(frozen=True, slots=True)
class Usage:
    """``memory_kb`` is what it has written, in KB of 1024 octets; what is shared counts for each who shares it in part.

    Pages of files are left out: whose they count as depends on who else on the machine has the same programs.
    """

    memory_kb: int
    descriptors: int
    threads: int
    cpu_s: float


def usage_of(pid: int) -> Usage:
    """ProcessLookupError when there is no such process, or it has ended and nobody has waited for it yet."""
    folder = Path(f"/proc/{pid}")
    memory_kb = written_kb(pid)
    try:
        descriptors, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return Usage(memory_kb, descriptors, threads, cpu_s(pid))


def pss_kb(pid: int) -> int:
    """Its proportional set size, as the kernel counts: KB of 1024 octets. ProcessLookupError as :func:`usage_of`."""
    return _rollup(pid)["Pss"]


def written_kb(pid: int) -> int:
    """The part of it that is in no file. ProcessLookupError as :func:`usage_of`."""
    found = _rollup(pid)
    return found["Pss_Anon"] + found["Pss_Shmem"]


def _rollup(pid: int) -> dict[str, int]:
    """Sums over its mappings, in KB."""
    lines = (line.split() for line in _read(pid, "smaps_rollup").splitlines()[1:])
    return {words[0].removesuffix(":"): int(words[1]) for words in lines}


def cpu_s(pid: int) -> float:
    """User and system time that it has had. ProcessLookupError when there is no such process."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_S


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}", name).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # the latter, of its memory, from one that nobody has waited for
        raise ProcessLookupError(pid) from None
