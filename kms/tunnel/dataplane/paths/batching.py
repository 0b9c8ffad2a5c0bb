"""How much the userspace plane's two paths move at once, and the socket options by which one call moves many."""

from __future__ import annotations

SOL_UDP = 17
UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h
MAX_UDP_BYTES = 65507

TURN_S = 0.004
"""Before the other descriptors and the timers have theirs; the longer, the more waits to be sealed together."""
SLOT_BYTES = 2048
"""From one single packet to the next, where several are collected."""
FEW = 4
"""So many are sooner dealt with one by one than together."""
