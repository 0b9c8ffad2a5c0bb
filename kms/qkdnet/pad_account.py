"""Who pays for the one-time pads of a message: asked where they are taken, with every crossing of a section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class PadAccount(Protocol):
    def debit(self, crossings: Mapping[str, int], bits_each: int) -> None:
        """Count what a message is about to take of each section: ``bits_each`` for each of its crossings.

        ExhaustedError, with nothing counted, when whoever pays may not have them now. Called at most once for a
        message, in one step with the taking.
        """


class _Free:
    def debit(self, crossings: Mapping[str, int], bits_each: int) -> None:
        """Nobody is asked."""


FREE: PadAccount = _Free()
