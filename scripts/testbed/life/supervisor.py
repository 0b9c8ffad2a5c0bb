"""The supervisor's control socket: whoever may open it (root) may have a process of the run started again.

JSON lines on a unix socket of mode 0600 in the run's directory: ``{"op": "restart", "name": "kms"}`` is answered by
``{"ok": true}`` when the process is ready, or by ``{"ok": false, "message": ...}``; ``{"op": "names"}`` when the files
of names are up to date.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.errors import CommandError, DidNotHold, EnvironmentLacks

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 60.0
READ_TIMEOUT_S = 5.0
MAX_LINE_BYTES = 4096
JOIN_TIMEOUT_S = 5.0
ACCEPT_PAUSE_S = 0.1


class ControlServer:
    """Answers one request after the other in a thread of its own.

    The thread lives as long as the run: the kernel ends a process whose parent thread ends (PR_SET_PDEATHSIG).
    """

    def __init__(self, path: Path, restart: Callable[[str], None], refresh_names: Callable[[], None]) -> None:
        self._path, self._restart, self._refresh_names = path, restart, refresh_names
        self._listener = socket.socket(socket.AF_UNIX)
        self._closing = threading.Event()
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, name="supervisor-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(JOIN_TIMEOUT_S)
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closing.wait(ACCEPT_PAUSE_S):
                    return
                log.warning("a control connection could not be accepted: %s", error)  # no descriptor left, maybe
                continue
            with connection:
                connection.settimeout(READ_TIMEOUT_S)
                try:
                    with connection.makefile("rwb") as stream:
                        stream.write(json.dumps(self._answer(stream.readline(MAX_LINE_BYTES))).encode() + b"\n")
                except OSError as error:
                    log.warning("a control connection broke: %s", error)

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            if request["op"] == "names":
                self._refresh_names()
                return {"ok": True}
            name = request["name"] if request["op"] == "restart" else None
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "message": "not a request"}
        if not isinstance(name, str):
            return {"ok": False, "message": "the operations are restart, with a name, and names"}
        try:
            self._restart(name)
        except CommandError as error:
            return {"ok": False, "message": str(error)}
        return {"ok": True}


class SupervisorClient:
    """The other end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def restart(self, name: str) -> None:
        """Return when the process is ready; DidNotHold with the supervisor's reason when it does not come to that."""
        answer = self._ask({"op": "restart", "name": name})
        if not answer.get("ok"):
            raise DidNotHold(
                f"{name} was not restarted: {answer.get('message', 'the supervisor closed the connection')}"
            )

    def refresh_names(self) -> None:
        """Return when the files of names are up to date."""
        self._ask({"op": "names"})

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ANSWER_TIMEOUT_S)
                connection.connect(str(self._path))
                with connection.makefile("rwb") as stream:
                    stream.write(json.dumps(request).encode() + b"\n")
                    stream.flush()
                    answer: dict[str, Any] = json.loads(stream.readline() or b"{}")
        except (OSError, json.JSONDecodeError) as error:
            raise EnvironmentLacks(f"the supervisor does not answer at {self._path}: {error}") from error
        return answer
