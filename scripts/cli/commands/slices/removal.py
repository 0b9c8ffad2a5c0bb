"""``slice delete``: the end of a slice."""

from __future__ import annotations

import argparse

from scripts.cli.commands.slices.reading import path_of
from scripts.cli.controllers import controller_of, names_have_changed
from scripts.cli.handlers import Handlers
from scripts.cli.problems import raise_problem
from scripts.console.output import print_json, say
from scripts.testbed.paths import Layout


def _delete(arguments: argparse.Namespace, layout: Layout) -> int:
    status, body = controller_of(arguments, layout).call("DELETE", path_of(arguments.name))
    if status not in (200, 204):
        raise_problem(status, body)
    names_have_changed(arguments, layout)
    if arguments.json:
        print_json({"name": arguments.name, "deleted": True})
    else:
        say(f"slice {arguments.name} is deleted")
    return 0


HANDLERS: Handlers = {"slice delete": _delete}
