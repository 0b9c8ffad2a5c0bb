"""``demo``: the main job, from nothing to a report, and nothing left behind."""

from __future__ import annotations

import argparse
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from scripts.cli.configuration import add_config, configuration_of, configured_topology, run_options
from scripts.cli.topologies import TOPO_METAVAR, topo_help
from scripts.console.output import say
from scripts.console.progress import Progress, StepList
from scripts.demo.run import SLICES, run_demo
from scripts.demo.use_cases import choose
from scripts.errors import DidNotHold
from scripts.files.results import make_results_folder
from scripts.measure.slices import load_request
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.run import START_STEPS, Runtime
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.testbed.running_system import RunningSystem

MAX_SLOWNESS = 100.0


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("demo", parents=[common], help="the main job, then a report")
    add_config(parser)
    parser.add_argument("--topo", metavar=TOPO_METAVAR, help=topo_help("ukqntel"))
    parser.add_argument("--report", type=Path, default=REPOSITORY / "results" / "demo", metavar="DIR")
    parser.add_argument("--api-port", type=int, metavar="PORT", help="the API's TCP port (default 8080)")
    parser.add_argument(
        "--slowness",
        type=_slowness,
        default=1.0,
        metavar="N",
        help="for emulated processors: loads divided by N, time limits multiplied by N",
    )
    parser.set_defaults(run=_demo)


def _slowness(text: str) -> float:
    value = float(text)
    if not 1 <= value <= MAX_SLOWNESS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_SLOWNESS:g}, not {text}")
    return value


def _key_rates(system: RunningSystem) -> dict[str, int]:
    """What QKD sections give now, in millibit/s; those that have not been judged are left out."""
    status, body = system.kms.call("GET", "/v1/keys")
    if status != HTTPStatus.OK:
        raise DidNotHold(f"the KMS answered {status}: {body}")
    return {s["id"]: round(s["skr_bps"] * 1000) for s in body["sections"] if s["skr_bps"] is not None}


def _demo(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, {"network.topo": arguments.topo})
    topology = configured_topology(configuration)
    folder = make_results_folder("--report", arguments.report)
    end_on_signals()
    started = time.monotonic()
    with Runtime(topology, layout, run_options(configuration)) as runtime:
        with Progress(f"up {topology.name}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        system = RunningSystem(runtime.record, layout)
        shown = choose(topology, _key_rates(system), [load_request(name) for name in SLICES])
        for remark in shown.remarks:
            print(remark, file=sys.stderr)
        report = run_demo(
            system, StepList(), folder, setup_s=time.monotonic() - started, requests=shown.requests,
            slowness=arguments.slowness, remarks=shown.remarks, restorable=shown.restorable, sites=shown.sites,
        )  # fmt: skip
    if arguments.json:
        print((folder / "report.json").read_text(encoding="utf-8").rstrip())
    else:
        held = sum(check.ok for check in report.checks)
        say(f"{held} of {len(report.checks)} checks held; report: {folder / 'report.html'}")
    return 0 if report.ok else 1
