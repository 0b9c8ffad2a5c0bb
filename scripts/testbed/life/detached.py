"""A run in a process of its own, which outlives whoever started it: ``up --detach``, and Python's :class:`Testbed`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from scripts.configuration.values import Configuration
from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.testbed.extensions import InForce
from scripts.testbed.life.run import START_STEPS, RunOptions
from scripts.testbed.life.start_reports import StartReports
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.testbed.processes import open_log, start_timeout_s, tail
from scripts.testbed.run_record import RunRecord, read_record
from topologies.spec import Topology, topology_from_dict

POLL_S = 0.05

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Started:
    """A run that is ready, and the process that holds it."""

    record: RunRecord
    supervisor: subprocess.Popen[bytes]


def start_detached(topology: Topology, options: RunOptions, layout: Layout, step: Tell) -> Started:
    """Start a network; returns when it is ready. ``step`` hears each step.

    Raises the CommandError with which the start failed; on it, and on Ctrl-C, nothing is left.
    """
    running = read_record(layout)
    if running is not None and running.supervisor.is_alive():
        raise DidNotHold(
            "a network is already up; look with `scripts/qslice status`, end it with `scripts/qslice down`"
        )
    layout.make()
    told, telling = os.pipe()
    argv = [sys.executable, "-m", "scripts.cli.main", "up", "--supervise", str(telling), f"--topo={topology.name}"]
    # The supervisor is given what was read here: a file may be changed meanwhile, and a pipe is read once.
    with StartReports(told) as reports, tempfile.TemporaryFile("w+") as order:
        json.dump(_order(topology, options), order)
        order.seek(0)
        try:
            with open(open_log(layout.log("supervisor"), append=False), "wb") as output:
                child = subprocess.Popen(
                    argv, stdin=order, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                    env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, pass_fds=[telling], cwd="/",
                )  # fmt: skip
        finally:
            os.close(telling)
        try:
            limit_s = START_STEPS * start_timeout_s(len(topology.site_names))
            return Started(_await_ready(child, reports, layout, step, limit_s), child)
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise


def _order(topology: Topology, options: RunOptions) -> dict[str, Any]:
    return {
        "topology": topology.to_dict(), "configuration": options.configuration.to_dict(), "bfd": options.bfd,
        "extensions": options.extensions.to_dict(),
    }  # fmt: skip


def read_order(source: IO[str]) -> tuple[Topology, RunOptions]:
    """What the process that holds the run is to start, as :func:`start_detached` wrote it."""
    raw = json.load(source)
    configuration = Configuration.from_dict(raw["configuration"])
    return topology_from_dict(raw["topology"]), RunOptions(
        configuration, bfd=raw["bfd"], extensions=InForce.from_dict(raw["extensions"])
    )


def _await_ready(
    child: subprocess.Popen[bytes], reports: StartReports, layout: Layout, step: Tell, limit_s: float
) -> RunRecord:
    log = layout.log("supervisor")
    deadline = time.monotonic() + limit_s
    while not reports.is_over:
        for text in reports.steps(POLL_S):
            step(text)
        if time.monotonic() > deadline:
            child.terminate()
            raise EnvironmentLacks(f"the network did not come up; see {log}")
    record = read_record(layout)
    if record is None or record.phase != "ready" or record.supervisor.pid != child.pid:
        raise DidNotHold(f"the network ended while it started; the end of {log}:\n{tail(log)}")
    return record
