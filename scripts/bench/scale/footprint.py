"""What the processes of a run take: memory that is theirs (PSS, proc(5)), and processor time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.measure.process_usage import cpu_s, pss_kb
from scripts.testbed.run_record import RunRecord

_DAEMONS = ("ovs-vswitchd", "ovsdb-server")


def processes(record: RunRecord) -> set[int]:
    """All that a run has: its own processes, those that hold its namespaces open, and Open vSwitch's daemons."""
    own = (record.supervisor.pid, *(process.pid for process in record.processes.values()))
    return {*own, *record.namespaces.values(), *_open_vswitch()}


def memory_mb(pids: Iterable[int]) -> float:
    """In MB of 10^6 bytes. What several processes share counts once among them; who has ended counts nothing."""
    return sum(_if_alive(pss_kb, pid) for pid in pids) * 1024 / 1e6


def available_mb() -> float:
    """What this machine could give to programs (proc(5), MemAvailable), in MB of 10^6 bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(words[1]) * 1024 / 1e6 for words in lines if words[0] == "MemAvailable:")


def busy_share(pids: Iterable[int], interval_s: float) -> float:
    """How much of one processor they took during ``interval_s`` seconds from now; more than 1 is possible."""
    watched = tuple(pids)
    before, began = {pid: _if_alive(cpu_s, pid) for pid in watched}, time.monotonic()
    time.sleep(interval_s)
    # Who has ended meanwhile took nothing that could still be read.
    spent = sum(max(0.0, _if_alive(cpu_s, pid) - before[pid]) for pid in watched)
    return spent / (time.monotonic() - began)


def _if_alive(of: Callable[[int], float], pid: int) -> float:
    try:
        return of(pid)
    except ProcessLookupError:
        return 0.0


def _open_vswitch() -> set[int]:
    run = Path(os.environ.get("OVS_RUNDIR", "/var/run/openvswitch"))
    found = set()
    for daemon in _DAEMONS:
        try:
            found.add(int((run / f"{daemon}.pid").read_text()))
        except (FileNotFoundError, ValueError):
            continue
    return found
