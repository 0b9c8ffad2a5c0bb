"""``demo``: the main job, from nothing to a report, and nothing left behind."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from scripts.demo.run import run_demo
from scripts.layout import REPOSITORY, Layout
from scripts.output import print_json, say
from scripts.progress import Steps
from scripts.runtime import DEFAULT_API_PORT, START_STEPS, RunOptions, Runtime, end_on_signals
from scripts.system import RunningSystem
from topologies.catalog import load

DEMO_TOPOLOGY = "ukqntel"


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("demo", parents=[common], help="the main job on ukqntel, then a report")
    parser.add_argument("--report", type=Path, default=REPOSITORY / "results" / "demo", metavar="DIR")
    parser.add_argument("--api-port", type=int, default=DEFAULT_API_PORT, metavar="PORT")
    parser.set_defaults(run=_demo)
