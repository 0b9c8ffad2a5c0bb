"""Silence that means nothing: sessions of channels everywhere end at once when the switches are not run. Pure.

BFD finds a channel dead when so many packets in a row are missing (RFC 5880, 6.8.4). Where the switches share a few
cores with everything else, packets are also missing because nobody was there to send them: then channels fall silent at
several sites together, all of them with carrier. A fibre, a site or a black hole does not look like that: what one
failure takes has one site in common. Whoever believed all of them would move everything to and fro, which starves the
switches further.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

TOGETHER_S = 2.0
UNEXPLAINED = 4  # so many channels that fall silent together, beside those of any one site, are no failures
CALM_S = 5.0  # without another silence: what is silent still is believed
SLOWDOWN_STEP, MAX_SLOWDOWN = 4, 16
RECOVERY_S = 60.0  # after so much calm the watch is hastened again, step by step


class Starvation:
    """Whether silence is believed. ``now``: seconds, any steady clock."""

    def __init__(self) -> None:
        self._silences: dict[str, tuple[float, Collection[str]]] = {}  # when each channel last fell silent; its ends
        self._is_on = False
        self._last = 0.0
        self._slowdown = 1
        self._slowed_at = 0.0

    @property
    def is_on(self) -> bool:
        return self._is_on

    @property
    def slowdown(self) -> int:
        """By how much less often channels had better be watched."""
        return self._slowdown

    def fell_silent(self, channel: str, ends: Collection[str], now: float) -> None:
        """A channel that worked is heard no more, and has carrier at both ends."""
        self._last = now
        self._silences = {c: s for c, s in self._silences.items() if now - s[0] <= TOGETHER_S}
        self._silences[channel] = (now, ends)
        if not self._is_on and self._unexplained() >= UNEXPLAINED:
            self._is_on = True
            self._slow_down(now)

    def is_certain(self, channel: str) -> None:
        """It has lost its carrier: a failure after all."""
        self._silences.pop(channel, None)

    def together(self, now: float) -> frozenset[str]:
        """The channels that have fallen silent lately."""
        return frozenset(c for c, (when, _) in self._silences.items() if now - when <= TOGETHER_S)

    def tick(self, now: float) -> None:
        """To be called often: calm ends it."""
        if self._is_on and now - self._last >= CALM_S:
            self._is_on = False
        if self._slowdown > 1 and not self._is_on and now - max(self._last, self._slowed_at) >= RECOVERY_S:
            self._slowdown //= SLOWDOWN_STEP
            self._slowed_at = now

    def _slow_down(self, now: float) -> None:
        self._slowdown = min(MAX_SLOWDOWN, self._slowdown * SLOWDOWN_STEP)
        self._slowed_at = now

    def _unexplained(self) -> int:
        by_site = Counter(site for _, ends in self._silences.values() for site in ends)
        return len(self._silences) - max(by_site.values(), default=0)
