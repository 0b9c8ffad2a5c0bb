"""``slice reserve|activate``: two phases, over the reservations of the controller's northbound API."""

from __future__ import annotations

import argparse
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from scripts.cli.commands.slices.asking import ask, wait_s_of
from scripts.cli.commands.slices.reading import print_connections
from scripts.cli.commands.slices.times import left
from scripts.cli.controllers import controller_of, get, names_have_changed
from scripts.cli.handlers import Handlers
from scripts.cli.problems import raise_problem
from scripts.console.output import print_json, say
from scripts.errors import WrongRequest
from scripts.testbed.clients import Northbound
from scripts.testbed.paths import Layout
from scripts.testbed.slice_requests import load_example, read_document

RESERVATIONS = "/v1/reservations"


def _reserve(arguments: argparse.Namespace, layout: Layout) -> int:
    if (arguments.file is None) == (arguments.example is None):
        raise WrongRequest("FILE: name a request file or --example, one of the two")
    request = load_example(arguments.example) if arguments.example else read_document(arguments.file)
    body = {"slice": request, "expires_in_s": arguments.seconds}
    status, held = ask(controller_of(arguments, layout), wait_s_of(arguments), "POST", RESERVATIONS, body)
    if status != HTTPStatus.CREATED:
        raise_problem(status, held)
    if arguments.json:
        print_json(held)
    else:
        name = held["slice"]["name"]
        say(f"slice {name} is reserved, {left(held['expires_at'], time.time())} left: qslice slice activate {name}")
        print_connections(held["slice"])
    return 0


def _activate(arguments: argparse.Namespace, layout: Layout) -> int:
    api = controller_of(arguments, layout)
    held = _reservation(api, arguments.name)
    if not arguments.json:
        say(f"slice {held['slice']['name']}: {left(held['expires_at'], time.time())} were left of its reservation")
    status, body = api.call("POST", f"{RESERVATIONS}/{quote(held['id'], safe='')}/commit")
    if status != HTTPStatus.CREATED:
        raise_problem(status, body)
    names_have_changed(arguments, layout)
    if arguments.json:
        print_json(body)
    else:
        say(f"slice {body['name']} is {body['state']}:")
        print_connections(body)
    return 0


def _reservation(api: Northbound, name: str) -> dict[str, Any]:
    """That of a slice, or of an id. Raises WrongRequest where there is none now."""
    held: list[dict[str, Any]] = get(api, RESERVATIONS)["reservations"]
    for each in held:
        if name in (each["slice"]["name"], each["id"]):
            return each
    now = time.time()
    there = ", ".join(f"{each['slice']['name']} ({left(each['expires_at'], now)} left)" for each in held)
    raise WrongRequest(f"NAME: no reservation is held for {name!r}; there is {there or 'none'}")


HANDLERS: Handlers = {"slice reserve": _reserve, "slice activate": _activate}
