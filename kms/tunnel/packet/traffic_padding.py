"""Traffic-flow confidentiality (RFC 4303, 2.6 and 2.7): what the sizes and times of packets tell, and how it is hidden.

With ``mtu`` every packet is as long as the longest: sizes tell nothing, times and numbers do. With ``constant-rate``
one such packet leaves in each slot, a dummy where none waits: that somebody talks at all cannot be seen, and nothing
is sent faster than that.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

TICK_S = 0.005  # slots that are closer to each other are served together
MAX_LATE_S = 0.05  # slots missed for longer (the process was not run) are not made up for
QUEUE_PACKETS = 256


class Padding(Enum):
    NONE = "none"
    MTU = "mtu"
    CONSTANT_RATE = "constant-rate"


class Pacer:
    """Slots of one rate, and the packets that wait for one."""

    def __init__(self, packets_per_s: float) -> None:
        self._slot_s = 1.0 / packets_per_s
        self._next: float | None = None
        self._waiting: deque[bytes] = deque()

    def put(self, packet: bytes) -> bool:
        """Wait for a slot; False when too many do."""
        if len(self._waiting) >= QUEUE_PACKETS:
            return False
        self._waiting.append(packet)
        return True

    def start(self, now: float) -> None:
        if self._next is None:
            self._next = now + self._slot_s

    def stop(self) -> int:
        """No slots until :meth:`start`. How many packets had been waiting."""
        self._next, dropped = None, len(self._waiting)
        self._waiting.clear()
        return dropped

    def next_timer(self) -> float | None:
        return None if self._next is None else self._next + max(0.0, TICK_S - self._slot_s)

    def due(self, now: float) -> list[bytes | None]:
        """What leaves now: a packet for each slot that has come, None for a dummy."""
        if self._next is None or now < self._next:
            return []
        self._next = max(self._next, now - MAX_LATE_S)
        slots = int((now - self._next) / self._slot_s) + 1
        self._next += slots * self._slot_s
        return [self._waiting.popleft() if self._waiting else None for _ in range(slots)]
