"""Adapter: bidirectional forwarding detection (RFC 5880) on channels, so that a silent failure is found.

A port whose session is down is not live for Open vSwitch: fast-failover groups pass it over, and the controller is
told by a port status message. Sessions take one to two seconds to come up (RFC 5880, 6.8.3: at most one packet a
second until then), during which their ports are not live: so they are started with the network, at a slow pace, and
whoever needs a faster one changes the interval of a session that is up, which interrupts nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from topologies.spec import Topology

DEFAULT_INTERVAL_MS = 500
MULTIPLIER = 3  # so many intervals without a packet are a failure


class BfdError(RuntimeError):
    """Open vSwitch refused; the message is its own."""


def channel_interfaces(topology: Topology) -> tuple[str, ...]:
    """The ports at both ends of every channel."""
    return tuple(p.interface for site in topology.site_names for p in topology.ports(site) if p.channel is not None)


def start(interfaces: Iterable[str], interval_ms: int = DEFAULT_INTERVAL_MS) -> None:
    """A session on each interface; down is MULTIPLIER intervals without a packet. Raises BfdError."""
    pace = ("bfd:enable=true", f"bfd:min_tx={interval_ms}", f"bfd:min_rx={interval_ms}", f"bfd:mult={MULTIPLIER}")
    words = [word for name in interfaces for word in ("--", "set", "interface", name, *pace)]
    if not words:
        return
    done = subprocess.run(["ovs-vsctl", "--timeout=30", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BfdError(f"ovs-vsctl: {done.stderr.strip()}")
