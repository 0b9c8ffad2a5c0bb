"""The command line of QSlice (contracts: "The launcher"): parse, run one command, end with its exit status."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from typing import NoReturn

from scripts.console.output import print_json
from scripts.console.streams import notice_children, take_standard_streams
from scripts.errors import CommandError
from scripts.testbed.paths import Layout

INTERRUPTED = 130

# The module in scripts/cli/commands/ of every command. Only that of the command given is loaded: Mininet, the
# simulations and the controller's model take several times as long to load as most commands take to run.
MODULES = {
    "demo": "demo",
    "up": "run",
    "down": "run",
    "status": "run",
    "exec": "inside",
    "slice": "slices",
    "link": "faults",
    "node": "faults",
    "section": "faults",
    "eavesdrop": "faults",
    "kill": "faults",
    "restart": "faults",
    "keys": "keys",
    "pki": "keys",
    "tunnel": "tunnel",
    "bench": "bench",
    "experiment": "experiment",
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and where to read on, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        command = " ".join(["scripts/qslice", *self.prog.split()[1:], "--help"])
        self.exit(2, f"qslice: {message} (see: {command})\n")


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of one command, each with ``--json``; of all of them if none, or one that is not there, is named."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser = _Parser(prog="qslice", description="5G network slices with quantum-safe security, for real")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    modules = [MODULES[command]] if command in MODULES else dict.fromkeys(MODULES.values())
    for name in modules:
        import_module(f"scripts.cli.commands.{name}").add_parsers(commands, common)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1, 2 or 3 as contracts.md says, 130 when interrupted."""
    take_standard_streams()
    notice_children()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser(words[0] if words else None).parse_args(words)
    try:
        status: int = arguments.run(arguments, Layout())
        return status
    except CommandError as error:
        if getattr(arguments, "json", False):
            print_json({"error": str(error), "exit_status": error.exit_status})
        print(f"qslice: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("qslice: interrupted; everything this command started has been stopped", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
