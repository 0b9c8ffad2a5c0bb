"""``logs``: what a process of the run has written, and writes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.console.streams import INTERRUPTED
from scripts.errors import EnvironmentLacks, WrongRequest
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import read_record

LOOK_S = 0.2
SUFFIX = ".log"


def _logs(arguments: argparse.Namespace, layout: Layout) -> int:
    record = read_record(layout)
    folder = (record.layout(layout) if record is not None else layout).logs
    file = _file(folder, arguments.name)
    lines, end = _last(file, arguments.lines)
    if arguments.json and not arguments.follow:
        print_json({"name": arguments.name, "file": str(file), "lines": lines})
        return 0
    try:
        for line in lines if not arguments.follow else _followed(file, lines, end):
            say(json.dumps({"name": arguments.name, "line": line}) if arguments.json else line)
            if arguments.follow:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _file(folder: Path, name: str) -> Path:
    """Logs outlive their run, until the next begins them anew."""
    known = sorted(file.name.removesuffix(SUFFIX) for file in folder.glob(f"*{SUFFIX}"))
    if not known:
        raise EnvironmentLacks(f"there are no logs in {folder}: nothing is running, and nothing was")
    if name not in known:
        raise WrongRequest(f"NAME: there is no log of that name; there are {', '.join(known)}")
    return folder / f"{name}{SUFFIX}"


def _last(file: Path, count: int) -> tuple[list[str], int]:
    """The last lines, and where they end: what is written from now on stands behind."""
    with file.open("rb") as text:
        lines = deque(text, maxlen=count)
        return [_decoded(line.rstrip(b"\r\n")) for line in lines], text.tell()


def _followed(file: Path, lines: list[str], at: int) -> Iterator[str]:
    yield from lines
    begun = b""
    while True:
        size = file.stat().st_size
        if size < at:
            at = 0  # it had grown long, and has begun anew (scripts.files.log_rotation)
        if size > at:
            with file.open("rb") as text:
                text.seek(at)
                fresh = text.read(size - at)
            at += len(fresh)
            *whole, begun = (begun + fresh).split(b"\n")
            yield from map(_decoded, whole)
        else:
            time.sleep(LOOK_S)


def _decoded(line: bytes) -> str:
    return line.decode(errors="replace")


HANDLERS: Handlers = {"logs": _logs}
