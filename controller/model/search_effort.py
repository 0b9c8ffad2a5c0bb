"""How much a search may cost. A search that comes to its bound ends without an answer, and says so. Pure."""

from __future__ import annotations

from collections.abc import Callable

from controller.model.errors import BoundReached

UNBOUNDED = 1 << 62
PAUSE_EVERY = 500  # units; some milliseconds at most


class Effort:
    """Counts units: about one comparison or expansion of a partial answer each, a microsecond or a few.

    ``pause`` is called every PAUSE_EVERY units: it may let others run, and raise BoundReached by a clock of its own.
    """

    def __init__(self, units: int = UNBOUNDED, pause: Callable[[], None] | None = None) -> None:
        self._left = units
        self._pause = pause
        self._until_pause = PAUSE_EVERY

    def spend(self, units: int = 1) -> None:
        """Raises BoundReached when there is no more."""
        self._left -= units
        if self._left < 0:
            raise BoundReached
        if self._pause is not None:
            self._until_pause -= units
            if self._until_pause <= 0:
                self._until_pause = PAUSE_EVERY
                self._pause()
