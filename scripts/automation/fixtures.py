"""Fixtures for tests on a network: ``pytest_plugins = ["scripts.automation.fixtures"]`` in a test file or conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.automation.testbed import Testbed


@pytest.fixture(scope="session")
def topology_name() -> str:
    """Which network ``testbed`` is; define one of the same name for another."""
    return "ukqntel"


@pytest.fixture(scope="session")
def network(topology_name: str) -> Iterator[Testbed]:
    """A network that all tests of the session share, as each has left it."""
    with Testbed(topology_name) as testbed:
        yield testbed


@pytest.fixture
def testbed(network: Testbed) -> Iterator[Testbed]:
    """The session's network; after each test its faults are lifted and its slices deleted."""
    yield network
    network.lift_all()
    for each in network.slices():
        network.delete(each.name)
