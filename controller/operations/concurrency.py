"""Running calls to drivers side by side, and operations that can be superseded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from controller.model.errors import ControllerError, DriverError, KeysMissing, Superseded

log = logging.getLogger(__name__)


class Call:
    """One call to a driver, to be made on a thread of its own; keeps the error it ended with."""

    def __init__(self, function: Callable[..., object], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self.error: ControllerError | None = None
        self.has_ended = False

    def __call__(self) -> None:
        try:
            self._function(*self._arguments)
        except ControllerError as error:
            self.error = error
        except Exception as error:
            # A bug, or an answer that nobody has thought of: not done, in any case.
            log.exception("a call failed")
            self.error = DriverError(f"failed unexpectedly: {type(error).__name__}")
        self.has_ended = True


class Parallel:
    """Calls that run at once from the moment this is made."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._left = len(calls)
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._roused = threading.Event()
        self._superseded: Superseded | None = None
        if not calls:
            self._ended.set()
            self._roused.set()
        for call in calls:
            threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Call) -> None:
        try:
            call()
        finally:
            with self._guard:
                self._left -= 1
                if not self._left:
                    self._ended.set()
                    self._roused.set()

    def abandon(self, why: Superseded) -> None:
        """Let whoever waits in :meth:`join` go, with ``why``; the calls themselves run on."""
        self._superseded = why
        self._roused.set()

    def settle(self, deadline_s: float) -> None:
        """Until all have ended, well or not, or the deadline passes."""
        self._ended.wait(deadline_s)

    def join(self, deadline_s: float) -> None:
        """Until all have ended; raises the first error, Superseded, or DriverError when the deadline passes.

        Of several errors one for want of keys goes first: at the other end of that tunnel it shows as mere silence.
        """
        if not self._roused.wait(deadline_s):
            raise DriverError(f"a tunnel agent gave no answer within {deadline_s:g} s")
        if self._superseded is not None:
            raise self._superseded
        errors = [call.error for call in self._calls if call.error is not None]
        for error in sorted(errors, key=lambda each: not isinstance(each, KeysMissing)):
            raise error


class Operation:
    """One change of one slice under way; a delete overtakes it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.is_superseded = False
        self._running: list[Parallel] = []
        self._changing: list[Parallel] = []

    def run(self, calls: Sequence[Call]) -> Parallel:
        """Calls that change something; :meth:`settle` waits for them. Call with the lock held. Raises Superseded."""
        parallel = self.watch(calls)
        self._changing.append(parallel)
        return parallel

    def watch(self, calls: Sequence[Call]) -> Parallel:
        """Calls that only wait for something. Call with the lock held. Raises Superseded."""
        self.check()
        parallel = Parallel(calls)
        self._running.append(parallel)
        return parallel

    def check(self) -> None:
        """Raises Superseded; to be asked, with the lock held, before anything more is done."""
        if self.is_superseded:
            raise self._why()

    def _why(self) -> Superseded:
        return Superseded(f"deleted while it was being {self.what}")

    def supersede(self) -> None:
        """Whoever carries it out goes no further."""
        self.is_superseded = True
        for parallel in self._running:
            parallel.abandon(self._why())

    def settle(self, deadline_s: float) -> None:
        """Until nothing that changes anything is on its way to an agent any more."""
        for parallel in self._changing:
            parallel.settle(deadline_s)
