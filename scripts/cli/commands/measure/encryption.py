"""``bench encryption``: hosts, cards and both sealing the same network, compared."""

from __future__ import annotations

import argparse

from scripts.bench import common
from scripts.bench.encryption import eavesdropper
from scripts.bench.encryption import run as encryption
from scripts.cli.commands.measure.ending import RESULTS, end
from scripts.cli.configuration import configuration_of, configured_topology
from scripts.cli.handlers import Handlers
from scripts.configuration.values import Configuration, Entry, Origin, Source
from scripts.console.output import print_table, say
from scripts.console.progress import Progress
from scripts.errors import DidNotHold
from scripts.files.results import make_results_folder
from scripts.measure.errors import DemoError
from scripts.report.provenance import provenance
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.paths import Layout
from scripts.testbed.running_system import RunningSystem
from topologies.spec import EncryptionMode, Topology


def _encryption(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, section="bench.encryption")
    origin = provenance(configuration)
    topology = configured_topology(configuration, arguments.topo or encryption.TOPOLOGY)
    encryption.require_places(topology)
    folder = make_results_folder("--out", arguments.out or RESULTS / "encryption")
    end_on_signals()
    load = common.load_note()
    modes = [EncryptionMode(name) for name in dict.fromkeys(arguments.modes)]
    try:
        parts = [_in_mode(mode, configuration, topology, layout) for mode in modes]
    except DemoError as error:
        raise DidNotHold(str(error)) from error
    results = encryption.merged(parts)
    wrong = results.wrong
    report = common.report("encryption", encryption.figures(results), [*encryption.NOTES, load, *wrong])
    report["provenance"] = origin.to_dict()
    columns, rows = eavesdropper.table(results.sights)
    report["eavesdropper"] = {"columns": list(columns), "rows": [list(row) for row in rows]}
    common.write_json(folder / "encryption.json", {**report, "runs": encryption.as_lists(results)})
    encryption.write_rates(results.rates, folder)
    if not arguments.json:
        print_table("What a tap on the line tells", columns, rows)
        for what in wrong:
            say(f"NOT AS IT MUST BE: {what}")
    return end(report, arguments.json, folder, failed=bool(wrong))


def _in_mode(
    mode: EncryptionMode, configuration: Configuration, topology: Topology, layout: Layout
) -> encryption.Results:
    """Bring the network up so, and measure."""
    effort = configuration.section("bench.encryption")
    chosen = configuration.with_entries({"encryption.mode": Entry(mode.value, Origin(Source.OPTION, "--modes"))})
    with Runtime(topology, layout, RunOptions(chosen)) as runtime:
        with Progress(f"up {topology.name}, {mode.value}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        with Progress("bench encryption") as progress:
            return encryption.measure(
                RunningSystem(runtime.record, layout), mode, encryption.Effort(**effort), progress.say
            )


HANDLERS: Handlers = {"bench encryption": _encryption}
