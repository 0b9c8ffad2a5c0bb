"""``version``: which QSlice this is."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.setup.version import version_of
from scripts.testbed.paths import Layout


def _version(arguments: argparse.Namespace, layout: Layout) -> int:
    found = version_of()
    if arguments.json:
        print_json({"program": "qslice", **asdict(found)})
    else:
        say(str(found))
    return 0


HANDLERS: Handlers = {"version": _version}
