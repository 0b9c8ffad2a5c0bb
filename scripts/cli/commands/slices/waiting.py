"""``slice wait``: until a slice is in a state."""

from __future__ import annotations

import argparse
import time
from http import HTTPStatus
from typing import Any

from scripts.cli.commands.slices.reading import path_of
from scripts.cli.controllers import controller_of
from scripts.cli.handlers import Handlers
from scripts.cli.problems import raise_problem
from scripts.console.output import print_json, say
from scripts.errors import DidNotHold, WrongRequest
from scripts.testbed.paths import Layout

DELETED, FAILED = "DELETED", "FAILED"
LOOK_S = 0.1
MOST_S = 86_400.0


def _wait(arguments: argparse.Namespace, layout: Layout) -> int:
    wanted = arguments.state.upper()
    if not 0 <= arguments.timeout <= MOST_S:
        raise WrongRequest(f"--timeout: {arguments.timeout:g} is not from 0 to {MOST_S:g} seconds")
    api, began = controller_of(arguments, layout), time.monotonic()
    while True:
        status, body = api.call("GET", path_of(arguments.name))
        if status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND) or (status != HTTPStatus.OK and wanted != DELETED):
            raise_problem(status, body)
        state = body["state"] if status == HTTPStatus.OK else DELETED
        waited_s = time.monotonic() - began
        if state == wanted:
            return _tell(arguments, state, waited_s)
        if state == FAILED or waited_s >= arguments.timeout:
            reason = f" ({body['reason']})" if body.get("reason") else ""
            raise DidNotHold(f"slice {arguments.name} is {state}{reason} after {waited_s:.1f} s, not {wanted}")
        time.sleep(LOOK_S)


def _tell(arguments: argparse.Namespace, state: str, waited_s: float) -> int:
    told: dict[str, Any] = {"name": arguments.name, "state": state, "waited_s": round(waited_s, 3)}
    if arguments.json:
        print_json(told)
    else:
        say(f"slice {arguments.name} is {state}")
    return 0


HANDLERS: Handlers = {"slice wait": _wait}
