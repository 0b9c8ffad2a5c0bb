"""``down``: a network's end. It loads nothing of what starts one, which takes longer than to end it."""

from __future__ import annotations

import argparse

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.console.progress import Progress
from scripts.testbed.cleanup import read_or_guess, take_down
from scripts.testbed.paths import Layout


def _down(arguments: argparse.Namespace, layout: Layout) -> int:
    record = read_or_guess(layout)
    if record is None:
        if arguments.json:
            print_json({"stopped": False, "removed": []})
        else:
            say("nothing is running")
        return 0
    was_running = record.supervisor.is_alive()
    with Progress("down", total=2) as progress:
        removed = take_down(record, layout, progress.begin)
    if arguments.json:
        print_json({"stopped": was_running, "removed": removed})
    elif removed:
        say(f"down; an earlier run had left {len(removed)} things, now removed")
    else:
        say("down; nothing is left")
    return 0


HANDLERS: Handlers = {"down": _down}
