"""The command line of QSlice (contracts: "The launcher"): parse, run one command, end with its exit status."""

from __future__ import annotations

import argparse
import errno
import logging
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from scripts.console.output import print_json
from scripts.console.streams import drop_output, notice_children, take_standard_streams
from scripts.errors import CommandError, EnvironmentLacks
from scripts.testbed.paths import Layout

INTERRUPTED = 130
FULL_BYTES = 1 << 20

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
    "fibre": "faults",
    "eavesdrop": "faults",
    "kill": "faults",
    "restart": "faults",
    "keys": "keys",
    "pki": "keys",
    "tunnel": "tunnel",
    "bench": "bench",
    "experiment": "experiment",
    "topo": "topo",
    "config": "config",
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
        sys.stdout.flush()
        return status
    except CommandError as error:
        if getattr(arguments, "json", False):
            print_json({"error": str(error), "exit_status": error.exit_status})
        print(f"qslice: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("qslice: interrupted; everything this command started has been stopped", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        drop_output()
        print(f"qslice: no space left on the disk of {_full_disk(error, Layout())}: make room there", file=sys.stderr)
        return EnvironmentLacks.exit_status


def _full_disk(error: OSError, layout: Layout) -> str:
    """The file that could not be written, or the places whose disk is full."""
    if isinstance(error.filename, str | Path):
        return str(error.filename)
    places = [path for path in (layout.state, layout.run, Path(tempfile.gettempdir())) if path.exists()]
    full = [str(path) for path in places if shutil.disk_usage(path).free < FULL_BYTES]
    return " and ".join(full) or "standard output"


if __name__ == "__main__":
    sys.exit(main())
