"""Noticing that a file has changed, by a look at its inode that is cheap enough for every request."""

from __future__ import annotations

import os
import time
from pathlib import Path

_CLOCK_GRAIN_NS = 50_000_000  # a file's time of change may be so coarse; Linux' is 4 ms


class FileChanges:
    """Whether a file or a directory's list of files has changed since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._seen: tuple[int, ...] | None = None

    def noticed(self) -> bool:
        """True too when it changed so lately that the next change may bear the same time. OSError when the look itself
        fails: then nothing counts as seen.
        """
        found: tuple[int, ...]
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            found, changed = (), 0
        except OSError:
            self._seen = None
            raise
        else:
            # A file that is replaced has another inode, whatever its times say (a copy that keeps them, a clock set).
            changed = status.st_mtime_ns
            found = status.st_ino, status.st_size, changed, status.st_ctime_ns
        if found == self._seen:
            return False
        self._seen = found if abs(time.time_ns() - changed) > _CLOCK_GRAIN_NS else None
        return True

    def forget(self) -> None:
        """What was noticed could not be read: notice it again."""
        self._seen = None
