"""Adapter: a site's switch losing power and getting it back, as its neighbours and the controller see it.

Open vSwitch itself goes on for the other sites: what a powered-off switch loses (carrier on every port, its
connection to the controller, its rules) is taken from this one bridge.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection

from topologies import links
from topologies.bridges import MAX_BACKOFF_MS, OPENFLOW_VERSION
from topologies.links import LinkError
from topologies.spec import Topology

# Kept in the bridge's own record, so that whoever switches it on again knows where it reported to.
_REMEMBERED = "external_ids:qslice-controller"


def switch_off(topology: Topology, site: str) -> None:
    """Take carrier, controller and rules from the site's switch. Does nothing to one that is off already."""
    bridge = topology.bridge(site)
    targets = [t for t in _vsctl("get-controller", bridge).split() if t]
    if targets:
        _vsctl("set", "bridge", bridge, f"{_REMEMBERED}={json.dumps(' '.join(targets))}")
    _vsctl("del-controller", bridge)
    links.set_up(_interfaces(topology, site), up=False)
    for table in ("del-flows", "del-groups", "del-meters"):
        _run("ovs-ofctl", "-O", OPENFLOW_VERSION, table, bridge)


def switch_on(topology: Topology, site: str, dead: Collection[str] = ()) -> None:
    """Undo :func:`switch_off`: an empty switch that looks for its controller. ``dead`` ports stay without carrier."""
    bridge = topology.bridge(site)
    remembered = _vsctl("--if-exists", "get", "bridge", bridge, _REMEMBERED).strip()
    links.set_up(tuple(name for name in _interfaces(topology, site) if name not in dead), up=True)
    if remembered:
        _vsctl("set-controller", bridge, *json.loads(remembered).split(), "--", "set", "controller", bridge,
               f"max_backoff={MAX_BACKOFF_MS}")  # fmt: skip
        _vsctl("remove", "bridge", bridge, "external_ids", "qslice-controller")


def _interfaces(topology: Topology, site: str) -> tuple[str, ...]:
    return tuple(port.interface for port in topology.ports(site))


def _vsctl(*arguments: str) -> str:
    return _run("ovs-vsctl", "--timeout=10", *arguments)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinkError(f"{argv[0]}: {done.stderr.strip()}")
    return done.stdout
