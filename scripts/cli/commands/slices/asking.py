"""Requests that the controller answers once it knows the key rates they hang on."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

from scripts.console.progress import Progress
from scripts.errors import WrongRequest
from scripts.testbed.clients import Answer, Northbound
from scripts.testbed.key_rates import ask_when_known

MOST_WAIT_S = 3600.0


def wait_s_of(arguments: argparse.Namespace) -> float:
    """``--wait``, checked. Raises WrongRequest."""
    wait_s: float = arguments.wait
    if not 0 <= wait_s <= MOST_WAIT_S:
        raise WrongRequest(f"--wait: {wait_s:g} is not from 0 to {MOST_WAIT_S:g} seconds")
    return wait_s


def ask(api: Northbound, wait_s: float, method: str, path: str, body: Any) -> Answer:
    """The controller's answer, once it knows the key rates that it hangs on."""
    with ExitStack() as stack:
        shown: list[Progress] = []

        def tell(what: str) -> None:
            if not shown:
                shown.append(stack.enter_context(Progress("waiting for key rates")))
            shown[0].say(what)

        return ask_when_known(lambda: api.call(method, path, body), wait_s, tell)
