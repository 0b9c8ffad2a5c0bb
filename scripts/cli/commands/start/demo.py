"""``demo``: the main job, from nothing to a report, and nothing left behind."""

from __future__ import annotations

import argparse
import json
import sys
import time

from scripts.cli.configuration import configuration_of, configured_topology, run_options
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.console.progress import Progress, StepList
from scripts.demo.run import SLICES, run_demo
from scripts.demo.use_cases import choose
from scripts.files.results import make_results_folder
from scripts.measure.slices import load_request
from scripts.report.provenance import provenance
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.run import START_STEPS, Runtime
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.testbed.running_system import RunningSystem

RESULTS = REPOSITORY / "results" / "demo"


def _key_rates(system: RunningSystem) -> dict[str, int]:
    """What QKD sections give now, in millibit/s; those that have not been judged are left out."""
    return {s["id"]: round(s["skr_bps"] * 1000) for s in system.kms.keys()["sections"] if s["skr_bps"] is not None}


def _demo(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, {"network.topo": arguments.topo})
    topology = configured_topology(configuration)
    folder = make_results_folder("--report", arguments.report or RESULTS)
    origin = provenance(configuration)
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
            origin=origin,
        )  # fmt: skip
    if arguments.json:
        print_json(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    else:
        held = sum(check.ok for check in report.checks)
        say(f"{held} of {len(report.checks)} checks held; report: {folder / 'report.html'}")
    return 0 if report.ok else 1


HANDLERS: Handlers = {
    "demo": _demo,
}
