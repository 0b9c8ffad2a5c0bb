"""How many delivered keys wait for their slaves, and of how many bits: in all, of a master, of a master and a slave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amount:
    """Keys, and the bits that they have together."""

    keys: int = 0
    bits: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.keys + other.keys, self.bits + other.bits)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.keys - other.keys, self.bits - other.bits)

    def exceeds(self, most: Amount) -> bool:
        return self.keys > most.keys or self.bits > most.bits


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
        self.total += amount
        self._by_master[master] = self.of_master(master) + amount
        for slave in slaves:
            self._by_pair[master, slave] = self.of_pair(master, slave) + amount

    def remove(self, master: str, slaves: Iterable[str], amount: Amount) -> None:
        """Undo :meth:`add`; who has nothing waiting is forgotten."""
        self.total -= amount
        left = self._by_master.pop(master) - amount
        if left != NOTHING:
            self._by_master[master] = left
        for slave in slaves:
            left = self._by_pair.pop((master, slave)) - amount
            if left != NOTHING:
                self._by_pair[master, slave] = left
