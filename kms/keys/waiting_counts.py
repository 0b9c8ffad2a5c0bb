"""How many delivered keys wait for their slaves, and of how many bits: in all, of a master, of a master and a slave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Amount(NamedTuple):
    """Keys, and the bits that they have together."""

    keys: int = 0
    bits: int = 0

    def exceeds(self, most: Amount, *, beside: Amount) -> bool:
        """Whether so much is more than ``most`` allows beside what is there."""
        return self.keys + beside.keys > most.keys or self.bits + beside.bits > most.bits


NOTHING = Amount()


class WaitingCounts:
    """A key counts once for its master, and once for each slave that has not fetched it yet."""

    def __init__(self) -> None:
        self.total = NOTHING
        self._by_master: dict[str, Amount] = {}
        self._by_pair: dict[tuple[str, str], Amount] = {}

    def of_master(self, master: str) -> Amount:
        return self._by_master.get(master, NOTHING)

    def of_pair(self, master: str, slave: str) -> Amount:
        return self._by_pair.get((master, slave), NOTHING)

    def add(self, master: str, slaves: Iterable[str], amount: Amount) -> None:
        keys, bits = amount
        self.total = Amount(self.total[0] + keys, self.total[1] + bits)
        before = self.of_master(master)
        self._by_master[master] = Amount(before[0] + keys, before[1] + bits)
        for slave in slaves:
            before = self.of_pair(master, slave)
            self._by_pair[master, slave] = Amount(before[0] + keys, before[1] + bits)

    def remove(self, master: str, slaves: Iterable[str], amount: Amount) -> None:
        """Undo :meth:`add`; who has nothing waiting is forgotten."""
        keys, bits = amount
        self.total = Amount(self.total[0] - keys, self.total[1] - bits)
        before = self._by_master.pop(master)
        if before != amount:
            self._by_master[master] = Amount(before[0] - keys, before[1] - bits)
        for slave in slaves:
            before = self._by_pair.pop((master, slave))
            if before != amount:
                self._by_pair[master, slave] = Amount(before[0] - keys, before[1] - bits)
