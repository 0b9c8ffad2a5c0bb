"""``up``, ``down``, ``status``: a network's life."""

from __future__ import annotations

import argparse
import sys
from http import HTTPStatus
from typing import Any

from scripts.cli.commands.keys.keys import key_rate, section_model
from scripts.cli.configuration import configuration_of, configured_topology, run_options
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table, say
from scripts.console.progress import Progress
from scripts.console.streams import has_commands
from scripts.errors import DidNotHold, EnvironmentLacks, WrongRequest
from scripts.testbed.cleanup import read_or_guess
from scripts.testbed.clients import every_slice
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.detached import read_order, start_detached, take_down
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.life.start_reports import StartReporter
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import RunRecord, read_record, running_record
from scripts.testbed.running_system import RunningSystem
from topologies.spec import KME_PORT, Topology, TopologyError

ACTIVE = "ACTIVE"
NOTHING_RUNS = "nothing is running"


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
        print_json(_status_document(record, layout))
    else:
        say(f"{record.network.name} is up on the {_datapath_words(record)}; API: {record.api_url}")
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


def _datapath_words(record: RunRecord) -> str:
    if record.datapath == "system":
        return "kernel datapath"
    return "user-space datapath (netdev): this kernel has no Open vSwitch module"


def _status_document(record: RunRecord, layout: Layout) -> dict[str, Any]:
    topology, layout = record.network, record.layout(layout)
    return {
        "running": True,
        "topology": topology.name,
        "datapath": record.datapath,
        "api": record.api_url,
        "token_file": str(layout.token),
        "ca": str(layout.pki / "ca.pem"),
        "kmes": {site: f"https://{topology.host(site).kme_address}:{KME_PORT}" for site in topology.site_names},
        "vendor_kmes": {site.name: site.kme.url for site in topology.sites if site.kme is not None},
        "processes": {name: "up" if p.is_alive() else "down" for name, p in record.processes.items()},
        "hosts": {site: topology.host(site).data_address for site in topology.site_names},
    }


def _status(arguments: argparse.Namespace, layout: Layout) -> int:
    record = read_record(layout)
    if record is None or not record.supervisor.is_alive():
        if arguments.json:
            print_json({"running": False} | ({"complaints": [NOTHING_RUNS]} if arguments.check else {}))
        else:
            say("nothing is running; start it with: scripts/qslice up --detach")
        return DidNotHold.exit_status if arguments.check else 0
    document = _status_document(running_record(layout), layout)
    system = RunningSystem(record, layout)
    document["slices"] = _slices(system)
    topology = _ask(system.api, "GET", "/v1/topology")
    document["links_down"] = [c["id"] for c in topology.get("channels", []) if c["state"] != "up"]
    health = _ask(system.api, "GET", "/v1/healthz")
    document["switches"] = {"connected": health.get("switches_connected", 0), "of": len(record.network.site_names)}
    keys = _ask(system.kms.call, "GET", "/v1/keys")
    document["sections"] = keys.get("sections", [])
    document["kms_background"] = _ask(system.kms.call, "GET", "/v1/status").get("background", [])
    document["controller_background"] = health.get("background", [])
    document["faults"] = [fault.to_dict() for fault in system.faults.active()]
    broken = [c["id"] for c in topology.get("channels", []) if c["state"] == "down"]
    complaints = _complaints(document, broken) if arguments.check else []
    if arguments.check:
        document["complaints"] = complaints
    status = DidNotHold.exit_status if complaints else 0
    if arguments.json:
        print_json(document)
        return status
    say(f"{document['topology']} on the {_datapath_words(record)}; API {document['api']}")
    print_table("Processes", ("name", "state"), document["processes"].items())
    print_table("KMEs", ("site", "URL"), document["kmes"].items())
    print_table("Slices", ("name", "state", "connections"),
                [(s["name"], s["state"], len(s["connections"])) for s in document["slices"]])  # fmt: skip
    down = ", ".join(document["links_down"]) or "none"
    say(f"links down: {down}")
    say("faults: " + (", ".join(map(str, system.faults.active())) or "none"))
    say(f"switches connected: {document['switches']['connected']} of {document['switches']['of']}")
    dead = [name for name, state in document["processes"].items() if state == "down"]
    if dead:
        say(f"not running: {', '.join(dead)}; see {record.layout(layout).logs}")
    for where, task in (
        *(("KMS", task) for task in document["kms_background"]),
        *(("controller", task) for task in document["controller_background"]),
    ):
        if task["restarts"]:
            say(f"{where}: {task['task']} had to begin anew {task['restarts']} times: {task['last_error']}")
    print_table("QKD sections", ("id", "model", "state", "secret bit/s", "QBER"),
                [(s["id"], section_model(s), s["state"], key_rate(s), s["qber"])
                 for s in document["sections"]])  # fmt: skip
    for complaint in complaints:
        say(f"not as it should be: {complaint}")
    return status


def _complaints(document: dict[str, Any], broken: list[str]) -> list[str]:
    """What is not as it should be, a sentence each; ``broken`` are channels that are down, not dark."""
    down = [name for name, state in document["processes"].items() if state != "up"]
    not_active = [f"slice {each['name']} is {each['state']}" for each in document["slices"] if each["state"] != ACTIVE]
    connected, of = document["switches"]["connected"], document["switches"]["of"]
    return [
        *(f"process {name} does not run" for name in down),
        *([] if connected == of else [f"{connected} of {of} switches are connected"]),
        *(f"channel {channel} is not up" for channel in broken),
        *not_active,
        *(f"there is a fault: {fault['fault']} {fault['target']}" for fault in document["faults"]),
    ]


def _slices(system: RunningSystem) -> list[dict[str, Any]]:
    try:
        status, slices = every_slice(system.api)
    except EnvironmentLacks:
        return []
    return list(slices) if status == HTTPStatus.OK else []


def _ask(call: Any, method: str, path: str) -> dict[str, Any]:
    """A part of the status; what does not answer is shown as a process that is down, not as an error."""
    try:
        status, body = call(method, path)
    except EnvironmentLacks:
        return {}
    return body if status == 200 and isinstance(body, dict) else {}


HANDLERS: Handlers = {
    "up": _up,
    "down": _down,
    "status": _status,
}
