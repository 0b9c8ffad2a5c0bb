"""``exec``: a command inside a host, which takes our place. A file of its own, so that nothing else is loaded."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from scripts.console.streams import usual_signals
from scripts.errors import EnvironmentLacks, WrongRequest
from scripts.testbed.callers_environment import callers_environment, callers_umask
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    inside = commands.add_parser("exec", parents=[common], help="run a command inside a host's namespace")
    inside.add_argument("host", metavar="HOST")
    inside.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD ...")
    inside.set_defaults(run=_exec)


def _exec(arguments: argparse.Namespace, layout: Layout) -> int:
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise WrongRequest("CMD: there is nothing to run; write: scripts/qslice exec HOST -- CMD ...")
    system = RunningSystem(running_record(layout), layout)
    command = [*system.into(arguments.host), *argv]
    sys.stdout.flush()
    usual_signals()
    mask = callers_umask()
    if mask is not None:
        os.umask(mask)
    try:
        os.execvpe(command[0], command, callers_environment())
    except OSError as error:
        raise EnvironmentLacks(f"{command[0]} cannot be run: {error.strerror}") from error
