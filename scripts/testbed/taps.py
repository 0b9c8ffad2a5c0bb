"""Where an eavesdropper taps: on a channel's line between two cards where these seal, else at its port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tap:
    """An interface in this machine's own network namespace, or in that of the process ``holder``."""

    interface: str
    holder: int | None = None
