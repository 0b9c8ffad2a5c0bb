"""Bidirectional forwarding detection (RFC 5880) on channels, so that a silent failure is found.

A port whose session is down is not live for Open vSwitch: fast-failover groups pass it over, and the controller is
told by a port status message. Sessions take one to two seconds to come up (RFC 5880, 6.8.3: at most one packet a
second until then), during which their ports are not live: so they are started with the network, at a slow pace, and
whoever needs a faster one changes the interval of a session that is up, which interrupts nothing.
"""

from __future__ import annotations

DEFAULT_INTERVAL_MS = 500
MULTIPLIER = 3  # so many intervals without a packet are a failure


def session(interval_ms: int = DEFAULT_INTERVAL_MS) -> dict[str, str]:
    """The settings of an interface's session; down is MULTIPLIER intervals without a packet."""
    pace = str(interval_ms)
    return {"enable": "true", "min_tx": pace, "min_rx": pace, "mult": str(MULTIPLIER)}
