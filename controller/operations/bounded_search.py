"""Searches for requests: some milliseconds with the lock held, else apart from it, and never for long.

Most searches are over in a few milliseconds, and are made where their answer is used. One that is not is begun anew on
a copy of the model, without the lock: it lets everybody else run every few milliseconds, and its answer counts only if
the network is still what it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from controller.model.errors import BoundReached
from controller.model.search_effort import Effort
from controller.operations.context import OperationContext
from controller.state.network_state import NetworkState

LOCKED_S = 0.02
APART_S = 0.8
EXTENSION_S = 10.0  # for extensions, which have a deadline of their own, and may have to be asked again
# A bound that needs no clock; at a microsecond or a few each it is never the first to be reached.
MOST_UNITS = 5_000_000

Found = TypeVar("Found")
Done = TypeVar("Done")


def search_then(
    context: OperationContext, search: Callable[[NetworkState], Found], use: Callable[[Found], Done]
) -> Done:
    """Use what ``search`` finds, with the lock held; call without it.

    ``search`` must not change the model that it is given. Raises BoundReached, and what the two raise.
    """
    is_slow = context.pce is not None  # an extension is never asked with the lock held
    until = time.monotonic() + LOCKED_S + (EXTENSION_S if is_slow else APART_S)
    while True:
        with context.lock:
            context.look_at_switches()
            if is_slow:
                copy, mark = context.model.fork(), context.model.network.mark()
            else:
                try:
                    with context.model.network.bounded(_effort(time.monotonic() + LOCKED_S, None)):
                        found = search(context.model)
                except BoundReached:
                    copy, mark = context.model.fork(), context.model.network.mark()
                else:
                    return use(found)
        with copy.network.bounded(_effort(until, _let_others_run)):
            found = search(copy)
        with context.lock:
            context.look_at_switches()
            if context.model.network.mark() == mark:
                return use(found)
        if time.monotonic() >= until:
            raise BoundReached("the network has changed for as long as the search may take")


def apart(until: float) -> Effort:
    """For what is searched on a copy until a time (time.monotonic)."""
    return _effort(until, _let_others_run)


def _let_others_run() -> None:
    time.sleep(0)


def _effort(until: float, between: Callable[[], None] | None) -> Effort:
    def pause() -> None:
        if time.monotonic() >= until:
            raise BoundReached
        if between is not None:
            between()

    return Effort(MOST_UNITS, pause)
