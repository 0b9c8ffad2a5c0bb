"""``doctor``, and the end of ``setup``: what this machine can do."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json
from scripts.errors import EnvironmentLacks
from scripts.setup.doctor import WIDTH_OF_A_FILE, examine, show
from scripts.testbed.paths import Layout


def _doctor(arguments: argparse.Namespace, layout: Layout) -> int:
    diagnosis = examine()
    if arguments.json:
        print_json(diagnosis.to_dict())
    else:
        console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_A_FILE)
        show(diagnosis, console)
    return 0 if diagnosis.is_sufficient else EnvironmentLacks.exit_status


HANDLERS: Handlers = {"setup": _doctor, "doctor": _doctor}
