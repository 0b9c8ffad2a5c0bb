"""A switch is here, for the first time or again: its links are learnt, then its rules repaired by difference.

It is ready when it holds what it shall. Reroutes under way change what that is between look and repair, and a busy
switch answers late: so it is looked at until it is right, or gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from controller.forwarding.items import Item
from controller.model.errors import DriverError

log = logging.getLogger(__name__)

ATTEMPTS = 3
AGAIN_S = 1.0
# Every switch is looked at every few seconds, of a hundred every 25, whatever happens: nobody tells when somebody else
# has changed it by hand.
# Reading a table takes time that restoration may need, so looking never takes more than a small part of it.
PATROL_S = 5.0
PATROL_SHARE = 0.05
# Between two switches: a hundred would be busy with nothing but being asked, each time as long as their ports are many.
PATROL_PAUSE_S = 0.25


class Board(Protocol):
    """What of the switches is needed here. Raises DriverError."""

    def is_connected(self, site: str) -> bool: ...

    def is_ready(self, site: str) -> bool: ...

    def installed(self, site: str) -> Iterable[Item]: ...

    def set_ready(self, site: str) -> None: ...


class Repairs(Protocol):
    """What of :class:`controller.operations.maintenance.Maintenance` is needed here."""

    def reconcile(self, site: str, read: Callable[[], Iterable[Item]]) -> bool: ...

    def retry(self) -> None: ...


class SwitchSync:
    """``check_ports`` learns a switch's links, ``later`` calls a function with an argument after so many seconds."""

    def __init__(
        self,
        board: Board,
        repairs: Repairs,
        check_ports: Callable[[str], None],
        later: Callable[[float, Callable[[str], None], str], Any],
    ) -> None:
        self._board, self._repairs, self._check_ports, self._later = board, repairs, check_ports, later
        self._doubted: set[str] = set()  # that will be looked at
        self._patrolled: dict[str, None] = {}  # ready switches, the one looked at longest ago first

    def synchronise(self, site: str) -> None:
        """Make it ready, now or later."""
        try:
            self._check_ports(site)
            is_right = any(self._is_right(site) for _ in range(ATTEMPTS))
        except DriverError as error:
            log.warning("%s", error)
            self._later(AGAIN_S, self._synchronise_again, site)
            return
        if is_right:
            self._board.set_ready(site)
        else:
            log.warning("switch %s: still not as intended after %d repairs", site, ATTEMPTS)
            self._later(AGAIN_S, self._synchronise_again, site)
        self._repairs.retry()

    def _is_right(self, site: str) -> bool:
        return self._repairs.reconcile(site, lambda: self._board.installed(site))

    def _synchronise_again(self, site: str) -> None:
        if self._board.is_connected(site):
            self.synchronise(site)

    def patrol(self, sites: Sequence[str], steady: Callable[[], float]) -> float:
        """Look at the switch that was looked at longest ago, and repair it; how long to wait before the next (s)."""
        ready = [site for site in (*self._patrolled, *sites) if self._board.is_ready(site)]
        self._patrolled = dict.fromkeys(ready)
        if not self._patrolled:
            return PATROL_S
        site, began = next(iter(self._patrolled)), steady()
        del self._patrolled[site]
        try:
            if not self._is_right(site):
                self.doubt(site)  # whether the repair has held
        except DriverError as error:
            log.warning("%s", error)
        return max(PATROL_S / (1 + len(self._patrolled)), PATROL_PAUSE_S, (steady() - began) / PATROL_SHARE)

    def doubt(self, site: str) -> None:
        """Something sent there has failed, and nobody waited for it: the switch is looked at in a while. Never waits.

        Not at once: what fails often fails with much else, which is one look; and traffic is moved before that.
        """
        if site not in self._doubted:
            self._doubted.add(site)
            self._later(AGAIN_S, self._look_again, site)

    def _look_again(self, site: str) -> None:
        self._doubted.discard(site)  # what fails from here on may come too late for this look
        if not self._board.is_connected(site):
            return  # greeted when it is back
        try:
            is_right = any(self._is_right(site) for _ in range(ATTEMPTS))
        except DriverError as error:
            log.warning("%s", error)
            is_right = False
        if not is_right:
            self.doubt(site)
