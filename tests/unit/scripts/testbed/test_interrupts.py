"""Signals that end a command: held back where a thing is made and noted, and what they mean afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from scripts.testbed.interrupts import ENDING, Ended, deferred, end_on_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_what_comes_meanwhile_is_raised_at_the_end_as_what_it_is(number: signal.Signals) -> None:
    end_on_signals()
    noted = []

    def make_and_note() -> None:
        with deferred():
            os.kill(os.getpid(), number)
            noted.append("made")

    with pytest.raises(KeyboardInterrupt) as raised:
        make_and_note()
    assert noted == ["made"]
    assert isinstance(raised.value, Ended) == (number is not signal.SIGINT)


def test_what_nohup_ignores_is_ignored_meanwhile_too() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_on_signals()
    with deferred():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
