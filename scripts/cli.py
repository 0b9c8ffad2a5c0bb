"""The command line of QSlice (contracts: "The launcher"): parse, run one command, end with its exit status."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import NoReturn

from scripts.commands import bench, demo, experiment, faults, keys, run, slices, tunnel
from scripts.errors import CommandError
from scripts.layout import Layout
from scripts.output import print_json

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and where to read on, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        command = " ".join(["scripts/qslice", *self.prog.split()[1:], "--help"])
        self.exit(2, f"qslice: {message} (see: {command})\n")


def build_parser() -> argparse.ArgumentParser:
    """Every command, each with ``--json``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser = _Parser(prog="qslice", description="5G network slices with quantum-safe security, for real")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for module in (demo, run, slices, faults, keys, tunnel, bench, experiment):
        module.add_parsers(commands, common)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1, 2 or 3 as contracts.md says, 130 when interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    arguments = build_parser().parse_args(argv)
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
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
