"""Adapter: the sites' bridges in Open vSwitch, made and removed in one transaction of its database.

It reconfigures itself once then, not once for each bridge.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable

from topologies.errors import NetworkError
from topologies.spec import Topology

OPENFLOW_VERSION = "OpenFlow13"
MAX_BACKOFF_MS = 1000
_TIMEOUT_S = 300  # who is not there is noticed at once; this is for machines that are slow


def make(topology: Topology, datapath_type: str, controller: str) -> None:
    """A bridge per site with all its ports; ``controller`` is an OpenFlow target. Raises NetworkError.

    They fail secure: forward only what they were told. Bridges of the same names are replaced.
    """
    words: list[str] = []
    for n, site in enumerate(topology.site_names):
        bridge = topology.bridge(site)
        words += ["--", "--if-exists", "del-br", bridge]
        words += ["--", f"--id=@c{n}", "create", "Controller", f"target={json.dumps(controller)}",
                  f"max_backoff={MAX_BACKOFF_MS}"]  # fmt: skip
        words += ["--", "add-br", bridge, "--", "set", "Bridge", bridge, f"controller=[@c{n}]",
                  f"datapath_type={datapath_type}", f"other_config:datapath-id={topology.dpid(site):016x}",
                  f"other_config:dp-desc={bridge}", "other_config:disable-in-band=true",
                  "fail_mode=secure", f"protocols={OPENFLOW_VERSION}"]  # fmt: skip
        for port in topology.ports(site):
            words += ["--", "add-port", bridge, port.interface]
            words += ["--", "set", "Interface", port.interface, f"ofport_request={port.number}"]
    done = _vsctl(words)
    if done.returncode:
        raise NetworkError(f"ovs-vsctl: {done.stderr.strip()}")


def remove(bridges: Iterable[str]) -> subprocess.CompletedProcess[str] | None:
    """Remove those that there are, from the database alone where ovs-vswitchd has died; what ovs-vsctl said to it."""
    words = [word for bridge in bridges for word in ("--", "--if-exists", "del-br", bridge)]
    if not words:
        return None
    return _vsctl(words if _daemon_answers() else ["--no-wait", *words])


def _daemon_answers() -> bool:
    question = ["ovs-appctl", "--timeout=2", "--target=ovs-vswitchd", "version"]
    return subprocess.run(question, capture_output=True, check=False).returncode == 0


def _vsctl(words: list[str]) -> subprocess.CompletedProcess[str]:
    argv = ["ovs-vsctl", f"--timeout={_TIMEOUT_S}", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)
