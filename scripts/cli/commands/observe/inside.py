"""``exec``: a command inside a host, which takes our place. A file of its own, so that nothing else is loaded."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from scripts.cli.handlers import Handlers
from scripts.console.streams import usual_signals
from scripts.errors import EnvironmentLacks, WrongRequest
from scripts.testbed.callers_environment import callers_environment, callers_umask
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem


def _exec(arguments: argparse.Namespace, layout: Layout) -> int:
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise WrongRequest("CMD: there is nothing to run; write: scripts/qslice exec HOST -- CMD ...")
    record = running_record(layout)
    system, layout_of_run = RunningSystem(record, layout), record.layout(layout)
    command = [*system.into(arguments.host), *_with_names(argv, layout_of_run.hosts_file(arguments.host))]
    sys.stdout.flush()
    usual_signals()
    mask = callers_umask()
    if mask is not None:
        os.umask(mask)
    try:
        os.execvpe(command[0], command, callers_environment())
    except OSError as error:
        raise EnvironmentLacks(f"{command[0]} cannot be run: {error.strerror}") from error


def _with_names(argv: list[str], hosts: Path) -> list[str]:
    """With the host's own /etc/hosts, which knows slices' connections by name, in front of the machine's."""
    if not hosts.exists():
        return argv
    shown = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "--", "sh", "-c", shown, str(hosts), *argv]


HANDLERS: Handlers = {
    "exec": _exec,
}
