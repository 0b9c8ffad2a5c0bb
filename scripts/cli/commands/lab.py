"""``lab``: the exercises of the course, begun, checked and reset."""

from __future__ import annotations

import argparse

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table, say
from scripts.lab.course import EXERCISES, NETWORK, check, reset, start
from scripts.testbed.paths import Layout


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.json:
        exercises = [{"number": e.number, "title": e.title, "answers": dict(e.answers)} for e in EXERCISES.values()]
        print_json({"network": NETWORK, "exercises": exercises})
    else:
        rows = [(e.number, e.title, " ".join(e.answers)) for e in EXERCISES.values()]
        print_table(f"Exercises on {NETWORK}", ("N", "exercise", "answers to its check"), rows)
    return 0


def _start(arguments: argparse.Namespace, layout: Layout) -> int:
    task = start(arguments.number, layout)
    if arguments.json:
        print_json({"exercise": arguments.number, "task": task})
    else:
        say(f"Exercise {arguments.number}: {EXERCISES[arguments.number].title}\n\n{task}")
    return 0


def _check(arguments: argparse.Namespace, layout: Layout) -> int:
    result = check(arguments.number, arguments.answers, layout)
    if arguments.json:
        print_json(result.to_dict())
    else:
        for finding in result.findings:
            say(f"  {'ok ' if finding.ok else 'NO '} {finding.what}: {finding.detail}")
        solved = "solved" if result.is_solved else "not solved yet"
        say(f"exercise {result.exercise} is {solved}")
    return 0 if result.is_solved else 1


def _reset(arguments: argparse.Namespace, layout: Layout) -> int:
    done = reset(layout)
    if arguments.json:
        print_json({"ok": True, "done": done})
    else:
        say(done)
    return 0


HANDLERS: Handlers = {"lab list": _list, "lab start": _start, "lab check": _check, "lab reset": _reset}
