"""The logs of a run's processes are kept short: one that has grown long becomes NAME.log.1, and begins anew."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path

log = logging.getLogger(__name__)

MOST_BYTES = 8 << 20
LOOK_INTERVAL_S = 5.0
JOIN_TIMEOUT_S = 5.0


def rotate(path: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Whether the log was longer than that, and has begun anew.

    Its process goes on writing to the same file, which it has opened to append: so the old lines are copied and then
    cut off. A line that is written in between is lost.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return False
        old = path.with_name(f"{path.name}.1")
        fresh = path.with_name(f".{path.name}.1")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(path, "rb") as lines, open(handle, "wb") as copy:
            lines.seek(-most_bytes, os.SEEK_END)
            shutil.copyfileobj(lines, copy)
        fresh.replace(old)
        os.truncate(path, 0)
    except OSError as error:
        log.warning("%s: %s", path, error)
        return False
    return True


class LogRotation:
    """Looks at every log of a directory now and then, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-rotation", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while not self._end.wait(LOOK_INTERVAL_S):
            for path in self._directory.glob("*.log"):
                rotate(path)
