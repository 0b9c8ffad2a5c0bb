"""``completion``: what a shell reads to complete our command lines."""

from __future__ import annotations

import argparse

from scripts.cli.grammar.completion import completion
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json
from scripts.testbed.paths import Layout


def _completion(arguments: argparse.Namespace, layout: Layout) -> int:
    script = completion(arguments.shell)
    if arguments.json:
        print_json({"shell": arguments.shell, "script": script})
    else:
        print(script, end="")
    return 0


HANDLERS: Handlers = {"completion": _completion}
