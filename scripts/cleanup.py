"""Removing what a run left behind: exactly what its record names, nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scripts import openvswitch
from scripts.layout import Layout
from scripts.processes import end
from scripts.run_record import RunRecord


def remove_leftovers(record: RunRecord, layout: Layout) -> list[str]:
    """End the run's processes, remove its bridges and interfaces, forget it. Returns what there was to remove."""
    removed = []
    for name, process in record.processes.items():
        if process.is_alive():
            removed.append(f"process {name} ({process.pid})")
            end(process)
    present = [bridge for bridge in record.bridges if bridge in openvswitch.vsctl("list-br").split()]
    openvswitch.remove_bridges(tuple(present))
    removed += [f"bridge {bridge}" for bridge in present]
    for interface in record.interfaces:
        if Path("/sys/class/net", interface).exists():
            subprocess.run(["ip", "link", "del", interface], capture_output=True, check=False)
            removed.append(f"interface {interface}")
    if record.bridges:
        openvswitch.restore_ssl(record.ovs_ssl_before)
    forget(layout)
    return removed


def forget(layout: Layout) -> None:
    """Remove the run's sockets, configuration and record; the lock stays with whoever holds it."""
    for path in layout.run.glob("*"):
        if path != layout.lock:
            path.unlink(missing_ok=True) if not path.is_dir() else shutil.rmtree(path)
