"""Adapter: the lines between a run's cards, cut and mended where they end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence

from topologies.cards import LINE_NODES, CardPlan
from topologies.links import LinkError


class SealedLines:
    """Those of the ``cards``; ``namespaces`` are the processes that hold the run's, by node."""

    def __init__(self, cards: Sequence[CardPlan], namespaces: Mapping[str, int]) -> None:
        self._near = {card.wavelength: card.interface for card in cards if card.end == "a"}
        self._holder = namespaces.get(LINE_NODES["a"])
        self.shelves = frozenset(card.site for card in cards)
        """The sites that have cards."""

    @property
    def wavelengths(self) -> frozenset[str]:
        """Those that have a line."""
        return frozenset(self._near)

    def set_up(self, wavelengths: Iterable[str], up: bool) -> None:
        """Give or take the carrier of both ends: one that is down takes it from the other. Raises LinkError."""
        state = "up" if up else "down"
        lines = [f"link set dev {self._near[wavelength]} {state}" for wavelength in wavelengths]
        if not lines:
            return
        argv = ["nsenter", "-t", str(self._holder), "-n", "--", "ip", "-batch", "-"]
        done = subprocess.run(argv, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
        if done.returncode:
            raise LinkError(f"ip: {done.stderr.strip()} (while doing: {'; '.join(lines[:3])})")
