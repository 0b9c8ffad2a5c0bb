"""Ctrl-C, SIGTERM and SIGHUP: one way out, through every clean-up, and never between making a thing and noting it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """Somebody wants the whole to end, where Ctrl-C may end a part alone."""


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end the program the way Ctrl-C does; a SIGHUP that nohup(1) has ignored stays so."""
    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold interruptions back for the length of the block; one that came meanwhile is raised at its end.

    What is ignored (nohup(1)) stays so.
    """
    came: list[int] = []
    heeded = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, lambda n, _frame: came.append(n)) for number in heeded}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt if set(came) == {signal.SIGINT} else Ended


@contextmanager
def ignored() -> Iterator[None]:
    """Nothing interrupts the block: for clean-ups, which somebody impatient would otherwise cut short."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Ended
