"""``up``: a network, until it is told to end."""

from __future__ import annotations

import argparse
import sys

from scripts.cli.commands.start.status import datapath_words, status_document
from scripts.cli.configuration import configuration_of, configured_topology, run_options
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.console.progress import Progress
from scripts.console.streams import has_commands
from scripts.errors import WrongRequest
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.detached import read_order, start_detached
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.life.start_reports import StartReporter
from scripts.testbed.paths import Layout
from scripts.testbed.running_system import RunningSystem
from topologies.spec import Topology, TopologyError


def _up(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.supervise is not None:
        return _supervise(*read_order(sys.stdin), arguments, layout)
    configuration = configuration_of(
        arguments,
        {
            "network.topo": arguments.topo, "network.scale": arguments.scale, "network.bfd": arguments.bfd,
            "network.shaped": False if arguments.unshaped else None, "tunnel.data_plane": arguments.tunnel,
        },
    )  # fmt: skip
    topology = _with_attached(configured_topology(configuration), arguments.attach)
    options = run_options(configuration)
    if arguments.detach:
        return _start_detached(topology, options, arguments, layout)
    if not has_commands(sys.stdin):
        raise WrongRequest(
            "Mininet's shell needs a terminal, or commands on standard input, and there is neither: "
            "`up --detach` returns when everything runs, `down` ends it"
        )
    end_on_signals()
    with Runtime(topology, layout, options) as runtime:
        with Progress(f"up {topology.name}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        _open_shell(runtime)
    return 0


def _with_attached(topology: Topology, words: list[str]) -> Topology:
    """The topology with what ``--attach`` names."""
    named: dict[str, str] = {}
    for word in words:
        site, separator, interface = word.partition("=")
        if not (site and separator and interface):
            raise WrongRequest(f"--attach: {word!r} is not SITE=INTERFACE")
        if site in named:
            raise WrongRequest(f"--attach: {site} is named twice")
        named[site] = interface
    try:
        return topology.with_attached(named) if named else topology
    except TopologyError as error:
        raise WrongRequest(f"--attach: {error}") from error


def _open_shell(runtime: Runtime) -> None:
    from scripts.cli.shell import NetworkShell  # only here: no other command needs a terminal

    say(f"datapath: {runtime.record.datapath}; API: {runtime.record.api_url}; leave with `exit`")
    NetworkShell(runtime.network.mininet, RunningSystem(runtime.record, runtime.layout))


def _start_detached(topology: Topology, options: RunOptions, arguments: argparse.Namespace, layout: Layout) -> int:
    end_on_signals()
    with Progress(f"up {topology.name}", total=START_STEPS) as progress:
        record = start_detached(topology, options, layout, progress.begin).record
    if arguments.json:
        print_json(status_document(record, layout))
    else:
        say(f"{record.network.name} is up on the {datapath_words(record)}; API: {record.api_url}")
        say("next: scripts/qslice slice create --example enterprise-app")
    return 0


def _supervise(topology: Topology, options: RunOptions, arguments: argparse.Namespace, layout: Layout) -> int:
    """The process behind ``up --detach``: hold the network until told to stop."""
    end_on_signals()
    # A failed start is cleaned up before it is reported.
    with StartReporter(arguments.supervise) as reporter, Runtime(topology, layout, options) as runtime:
        runtime.start(reporter.step)
        reporter.close()
        runtime.wait()
    return 0


HANDLERS: Handlers = {"up": _up}
