"""A process that dies at each line of what it does, one after the other: no clean-up of its own runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

_KILLED = 9


def killed_at_each_line(
    act: Callable[[Path], object],
    folder: Path,
    *modules: ModuleType,
    prepare: Callable[[Path], object] = lambda _: None,
) -> Iterator[Path]:
    """A folder for each line of ``modules`` that ``act`` comes to: what it had done there when it was killed before
    that line. The last one is whole. ``prepare`` has done its part in each."""
    files = {module.__file__ for module in modules}
    for line in range(1, 10_000):
        place = folder / f"killed-{line}"
        place.mkdir()
        prepare(place)
        child = os.fork()
        if child == 0:
            _die_at(line, files)
            act(place)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, _KILLED), code
        yield place
        if code == 0:
            return


def _die_at(last: int, files: set[str | None]) -> None:
    seen = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            seen += 1
            if seen == last:
                os._exit(_KILLED)
        return trace

    sys.settrace(trace)
