"""The machine and the versions behind a figure: what a report needs, so that its reader can judge it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re

from scripts.setup.capabilities import Run, run_command

_DISTRIBUTIONS = ("ryu", "eventlet", "aiohttp", "cryptography", "pqcrypto", "numpy", "scapy")


def describe_machine() -> dict[str, str | int | float]:
    """System, kernel, processors, memory in GB (10^9 bytes)."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return {
        "system": system,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory_bytes / 1e9, 1),
    }


def describe_versions(run: Run = run_command) -> dict[str, str]:
    """Versions of what QSlice runs on; what cannot be found out is left out."""
    versions = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    for name, argv in (("mininet", ["mn", "--version"]), ("openvswitch", ["ovs-vsctl", "--version"])):
        found = re.search(r"\d+(\.\d+)+", run(argv).output)
        if found:
            versions[name] = found[0]
    return versions
