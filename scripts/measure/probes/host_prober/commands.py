"""Commands and answers: JSON lines on standard input and output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from scripts.measure.probes.host_prober.event_loop import EventLoop

Command = dict[str, Any]
Operation = Callable[[Command], dict[str, Any] | None]
"""Its result; None when it answers later."""


def answer(command_id: Any, result: dict[str, Any] | None = None, error: str | None = None) -> None:
    """Answer one command, with a result or with an error."""
    document = {"id": command_id, "result": result} if error is None else {"id": command_id, "error": error}
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class CommandReader:
    """Carries out what comes on standard input, and stops the loop when it ends."""

    def __init__(self, loop: EventLoop, operations: Mapping[str, Operation]) -> None:
        self._loop, self._operations = loop, operations
        self._input = b""
        loop.on_readable(sys.stdin.fileno(), self._on_input)

    def _on_input(self) -> None:
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        if not chunk:
            self._loop.stop()
            return
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            command = json.loads(line)
            try:
                result = self._operations[command["op"]](command)
            except (OSError, KeyError, ValueError) as error:
                answer(command["id"], error=f"{type(error).__name__}: {error}")
            else:
                if result is not None:
                    answer(command["id"], result)
