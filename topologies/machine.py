"""What the machine must give before a network is built on it: settings that take effect, addresses that nobody uses."""

from __future__ import annotations

import ipaddress
import json
import subprocess

MANAGEMENT_NETWORK = ipaddress.IPv4Network("10.254.0.0/16")
"""The one range that the machine itself sees; those of hosts lie in namespaces of their own."""
ROOT_MANAGEMENT_INTERFACE = "qs-mgmt"
"""By which the machine itself reaches that range while a network is up."""
_SETTING = "net.ipv4.ip_forward=0"


def refused_settings() -> str | None:
    """Why settings of a new network namespace cannot be changed; None where they can.

    A namespace begins with the machine's own: one that forwards would make each host a router past its tunnels.
    """
    done = subprocess.run(
        ["unshare", "--net", "sysctl", "-qw", _SETTING], capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode == 0:
        return None
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
    return f"{reason}; /proc/sys must be writable: mount -o remount,rw /proc/sys, or a privileged container"


def foreign_route() -> str | None:
    """Somebody else's route into :data:`MANAGEMENT_NETWORK`; None where there is none.

    A wider one (of a VPN) is no obstacle: it loses that part while a network is up.
    """
    done = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=False
    )
    for route in json.loads(done.stdout or "[]"):
        try:
            target = ipaddress.IPv4Network(route.get("dst", "default"))
        except ValueError:  # default
            continue
        if target.subnet_of(MANAGEMENT_NETWORK):
            return f"{target} on {route.get('dev', 'no device')}"
    return None
