"""What the machine's kernel offers the emulation: Open vSwitch's own datapath, and delays on links."""

from __future__ import annotations

import subprocess
from pathlib import Path


def ovs_datapath() -> str:
    """``system`` where Open vSwitch's kernel module loads, else ``netdev`` (Open vSwitch in user space)."""
    if not Path("/sys/module/openvswitch").exists():
        _quiet(["modprobe", "openvswitch"])
    return "system" if Path("/sys/module/openvswitch").exists() else "netdev"


def has_netem() -> bool:
    """Whether the kernel can delay packets; tried on a namespace of its own, which goes away by itself."""
    return _quiet(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"])


def _quiet(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
