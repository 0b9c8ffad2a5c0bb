"""What tests on real networks begin with."""

from __future__ import annotations

import functools

import pytest

from scripts.setup import capabilities
from scripts.testbed.cleanup import read_or_guess, remove_leftovers
from scripts.testbed.paths import Layout


@pytest.fixture(scope="session", autouse=True)
def no_dead_run() -> None:
    """In a lane sessions' fixtures are made again for every module; what one's tests leave, they are told of."""
    _remove_dead_run()


@functools.cache
def _remove_dead_run() -> None:
    """A machine that lost its power, or whoever ran on it, in the middle of a run still has what that run had made. The
    first network here would remove it, and its test take that for a difference of its own making."""
    if not (capabilities.is_root() and capabilities.has_openvswitch()):
        return
    left = read_or_guess(Layout())
    if left is None:
        return
    if left.supervisor.is_alive():
        pytest.exit("a network is up, which the tests would disturb; end it with `scripts/qslice down`", returncode=3)
    remove_leftovers(left, Layout())
