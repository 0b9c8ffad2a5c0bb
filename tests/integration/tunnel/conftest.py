"""A lab for each file of tests, and connections in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.support.tunnel_lab import Lab, MakePair, Pair, tunnel_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with tunnel_lab(tmp_path_factory.mktemp("tunnel")) as lab:
        yield lab


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Of the lab's connections: none is given twice."""
    return count(1)


@pytest.fixture
def make_pair(lab: Lab, numbers: Iterator[int]) -> Iterator[MakePair]:
    """Connections that are added, awaited, and removed at the end if the test has not done so."""
    made: list[Pair] = []

    def make(**options: Any) -> Pair:
        pair = Pair(lab, next(numbers), options)
        made.append(pair)
        pair.add()
        pair.wait_up()
        return pair

    yield make
    for pair in made:
        for client in lab.clients.values():
            client.ask("remove", connection_id=pair.id)
