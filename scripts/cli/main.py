"""The command line of QSlice (contracts: "The launcher"): parse, run one command, end with its exit status."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from scripts.cli.grammar.leaf import Needs
from scripts.cli.grammar.parser import ShownInstead, WrongUsage, parse, wants_json
from scripts.cli.handlers import Handler
from scripts.console.output import choose_form, print_error
from scripts.console.streams import INTERRUPTED, drop_output, notice_children, take_standard_streams
from scripts.errors import CommandError, EnvironmentLacks
from scripts.testbed.paths import Layout

FULL_BYTES = 1 << 20
READ_SETTINGS = ("up", "demo", "experiment", "bench", "config", "extension")


def prepared(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for, with ``run``: what does it. Raises WrongUsage, or ShownInstead for help.

    Only the module of the command given is loaded: Mininet, the simulations and the controller's model take several
    times as long to load as most commands take to run.
    """
    arguments = parse(words)
    leaf = arguments.leaf
    if arguments.api and leaf.needs is not Needs.API:
        raise WrongUsage(arguments.path, "--api: this is done on the network's own machine, not through its API")
    if leaf.needs is Needs.API:
        arguments.api = arguments.api or os.environ.get("QSLICE_API") or None
    if arguments.config is not None and leaf.command not in READ_SETTINGS:
        raise WrongUsage(arguments.path, "--config: this reads no settings (who does: docs/reference/config.md)")
    if leaf.module is None:
        raise WrongUsage(arguments.path, "this is done by scripts/qslice itself: call that")
    module = import_module(f"scripts.cli.commands.{leaf.module}")
    handler: Handler = module.HANDLERS[leaf.path]
    arguments.run = handler
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1, 2 or 3 as contracts.md says, 130 when interrupted."""
    take_standard_streams()
    notice_children()
    words = sys.argv[1:] if argv is None else list(argv)
    choose_form("json", None)
    failed = _Failure(wants_json(words))
    try:
        arguments = prepared(words)
        failed.is_told, failed.path = arguments.json, arguments.path
        choose_form(arguments.output, arguments.leaf.name_of)
        level = logging.INFO if arguments.verbose else logging.WARNING
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        status: int = arguments.run(arguments, Layout())
        sys.stdout.flush()
    except ShownInstead as shown:
        print(shown.text, end="")
        return 0
    except WrongUsage as error:
        failed.path = error.path
        return failed.tell(str(error), WrongUsage.exit_status)
    except CommandError as error:
        return failed.tell(str(error), error.exit_status, error.problem)
    except KeyboardInterrupt:
        return failed.tell("interrupted; everything this command started has been stopped", INTERRUPTED)
    except ModuleNotFoundError as error:
        if _is_set_up():
            raise
        return failed.tell(f"{error.name} is not here: sudo scripts/qslice setup", EnvironmentLacks.exit_status)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            failed.tell(f"unexpected: {error}", 1)
            raise
        drop_output()
        failed.is_told = False
        return failed.tell(
            f"no space left on the disk of {_full_disk(error, Layout())}: make room there",
            EnvironmentLacks.exit_status,
        )
    except Exception as error:
        failed.tell(f"unexpected: {type(error).__name__}: {error}", 1)
        raise
    return status


class _Failure:
    """How a command that failed tells it: for a person on standard error, and as a document where one is asked for."""

    def __init__(self, is_told: bool) -> None:
        self.is_told = is_told
        self.path = ""

    def tell(self, message: str, exit_status: int, problem: object = None) -> int:
        """Tell it; the exit status."""
        if self.is_told:
            document = {"error": message, "exit_status": exit_status, "command": self.path or None}
            print_error(document if problem is None else {**document, "problem": problem})
            sys.stdout.flush()
        where = f"{self.path}: " if self.path else ""
        print(f"qslice: {where}{message}", file=sys.stderr)
        return exit_status


def _is_set_up() -> bool:
    """Whether this is the environment that the set-up makes, in which nothing is missing."""
    return sys.prefix != sys.base_prefix


def _full_disk(error: OSError, layout: Layout) -> str:
    """The file that could not be written, or the places whose disk is full."""
    if isinstance(error.filename, str | Path):
        return str(error.filename)
    places = [path for path in (layout.state, layout.run, Path(tempfile.gettempdir())) if path.exists()]
    full = [str(path) for path in places if shutil.disk_usage(path).free < FULL_BYTES]
    return " and ".join(full) or "standard output"


if __name__ == "__main__":
    sys.exit(main())
