"""What the launcher asks before there is a set-up, of the system's own Python: whether the words are a command.

    python3 -I -S -B scripts/cli/without_setup.py WORD ...

Exit status 0: they are, and the command needs what is printed (:class:`Needs`). 10: help, the version or a completion
was asked for, and is printed. 2: they are none; that is told.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SHOWN = 10


def main(words: list[str]) -> int:
    """Answer the launcher."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from scripts.cli.grammar.parser import ShownInstead, WrongUsage, parse, wants_json

    try:
        arguments = parse(words)
    except ShownInstead as shown:
        print(shown.text, end="")
        return SHOWN
    except WrongUsage as error:
        if wants_json(words):
            document = {"error": str(error), "exit_status": error.exit_status, "command": error.path or None}
            print(json.dumps(document, indent=2))
        print(f"qslice: {error.path}: {error}" if error.path else f"qslice: {error}", file=sys.stderr)
        return error.exit_status
    needs = arguments.leaf.needs.value
    if needs == "api" and not (arguments.api or os.environ.get("QSLICE_API")):
        needs = "root"
    print(needs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
