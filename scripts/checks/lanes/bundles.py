"""Which lane runs what: tests in bundles, each of which the first lane that is free takes whole. Pure but for `Claims`.

A bundle is one module's tests, as they share a network. Nothing is decided beforehand: how long tests take depends on
the machine, and a lane that is done with its own takes what is left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """What of a test decides where and when it runs."""

    module: str
    on_outer_machine: bool = False
    """It wants what a lane's own machine has not: the system's services, the outer world's network."""
    counts_packets: bool = False
    """It comes after those that do not care how busy the machine is."""


@dataclass(frozen=True)
class Bundle:
    """Tests that one lane runs one after the other."""

    number: int
    """The same in all lanes."""
    on_outer_machine: bool
    counts_packets: bool
    tests: tuple[int, ...]
    """Places in the sequence of all tests, in order."""


def bundles(tests: Sequence[Kind]) -> tuple[Bundle, ...]:
    """Every test in one bundle; those that count packets come last, else the larger first: what is begun last should
    be short. A module one of whose tests wants the outer machine runs there."""
    outer = {test.module for test in tests if test.on_outer_machine}
    places: dict[tuple[bool, str], list[int]] = {}
    for place, test in enumerate(tests):
        places.setdefault((test.counts_packets, test.module), []).append(place)
    ordered = sorted(places.items(), key=lambda item: (item[0][0], -len(item[1])))
    return tuple(
        Bundle(number, module in outer, counts_packets, tuple(found))
        for number, ((counts_packets, module), found) in enumerate(ordered)
    )


def shared(of_all: Sequence[Bundle], *, on_outer_machine: bool, take: Callable[[Bundle], bool]) -> Iterator[Bundle]:
    """What one lane is to run, each taken when it comes to it. The lane of the outer machine begins with what no other
    may take; those that count packets come last all the same."""
    mine = [bundle for bundle in of_all if on_outer_machine or not bundle.on_outer_machine]
    for bundle in sorted(mine, key=lambda bundle: (bundle.counts_packets, not bundle.on_outer_machine)):
        if take(bundle):
            yield bundle


class Claims:
    """A folder where lanes, which are processes that know nothing of each other, say what they have taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, bundle: Bundle) -> bool:
        """Whether nobody had: of several that ask at once, one is told so."""
        try:
            os.close(os.open(self._folder / str(bundle.number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True
