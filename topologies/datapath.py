"""What the machine's kernel offers the emulation: Open vSwitch's own datapath, and delays on links."""

from __future__ import annotations

import subprocess
from typing import Literal

from topologies.genetlink import GenetlinkError, family_id

Datapath = Literal["system", "netdev"]
_TIMEOUT_S = 60.0  # a slow machine takes its time to load a module, and a wrong "no" would take delays from every link


def ovs_datapath() -> Datapath:
    """``system`` where the kernel has Open vSwitch's datapath, else ``netdev`` (Open vSwitch in user space).

    Asking loads the kernel's module. Open vSwitch itself lists both among its ``datapath_types``, whatever the
    kernel has.
    """
    try:
        return "netdev" if family_id("ovs_datapath") is None else "system"
    except (OSError, GenetlinkError):
        return "netdev"


def has_netem() -> bool:
    """Whether the kernel can delay packets; tried on a namespace of its own, which goes away by itself."""
    return _quiet(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"])


def _quiet(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
