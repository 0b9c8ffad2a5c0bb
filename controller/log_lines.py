"""Log lines of a process, bounded: what somebody far away causes again and again does not fill the disk.

The KMS has the same (:mod:`kms.log_lines`), as neither imports the other; one test holds both to it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Of each kind, which is a place in the code, so many lines at once, and then so many per second.
BURST = 200
PER_S = 0.5
MOST_CHARACTERS = 8_000  # of a line, its traceback included


@dataclass
class _Kind:
    tokens: float
    counted_to: float
    left_out: int = 0


class LineLimit(logging.Filter):
    """Lets so many lines of a kind through; the next one that passes says how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._guard = threading.Lock()
        self._kinds: dict[tuple[str, int], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        with self._guard:
            kind = self._kinds.setdefault((record.pathname, record.lineno), _Kind(BURST, now))
            kind.tokens = min(BURST, kind.tokens + PER_S * (now - kind.counted_to))
            kind.counted_to = now
            if kind.tokens < 1:
                kind.left_out += 1
                return False
            kind.tokens -= 1
            left_out, kind.left_out = kind.left_out, 0
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more like this were left out)"
            record.args = ()
        return True


class ShortLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} (cut short)"


def configure_logging(level: int | str) -> None:
    """Bounded lines of this level and above to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(LineLimit())
    handler.setFormatter(ShortLines(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
