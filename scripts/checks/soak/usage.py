"""What a process takes of the machine, as /proc tells it (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER_TICKS, _SYSTEM_TICKS = 11, 12  # proc_pid_stat(5), counted from behind the name


@dataclass(frozen=True)
class Usage:
    """``memory_kb`` is the proportional set size: what is shared counts for each of those who share it in part."""

    memory_kb: int
    descriptors: int
    threads: int
    cpu_s: float


def usage_of(pid: int) -> Usage:
    """ProcessLookupError when there is no such process."""
    folder = Path(f"/proc/{pid}")
    try:
        memory = (folder / "smaps_rollup").read_text(encoding="ascii")
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        descriptors, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    pss = next(line for line in memory.splitlines() if line.startswith("Pss:"))
    return Usage(
        memory_kb=int(pss.split()[1]),
        descriptors=descriptors,
        threads=threads,
        cpu_s=(int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS])) / _TICKS_PER_S,
    )
