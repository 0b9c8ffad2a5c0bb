"""``status``: what runs, at a glance, on this machine or, as far as its API tells, elsewhere."""

from __future__ import annotations

import argparse
from http import HTTPStatus
from typing import Any

from scripts.cli.controllers import controller_of, get
from scripts.cli.handlers import Handlers
from scripts.cli.problems import raise_problem
from scripts.console.output import print_json, print_table, say
from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.testbed.clients import Northbound, every_slice
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import RunRecord, read_record, running_record
from scripts.testbed.running_system import RunningSystem
from topologies.spec import KME_PORT

ACTIVE = "ACTIVE"
NOTHING_RUNS = "nothing is running"


def datapath_words(record: RunRecord) -> str:
    """What its switches forward by."""
    if record.datapath == "system":
        return "kernel datapath"
    return "user-space datapath (netdev): this kernel has no Open vSwitch module"


def status_document(record: RunRecord, layout: Layout) -> dict[str, Any]:
    """Where its parts are, and which of its processes run."""
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
    if arguments.api:
        return _elsewhere(arguments, controller_of(arguments, layout))
    record = read_record(layout)
    if record is None or not record.supervisor.is_alive():
        if arguments.json:
            print_json({"running": False} | ({"complaints": [NOTHING_RUNS]} if arguments.check else {}))
        else:
            say("nothing is running; start it with: scripts/qslice up --detach")
        return DidNotHold.exit_status if arguments.check else 0
    from scripts.cli.commands.keys.keys import key_rate, section_model

    document = status_document(running_record(layout), layout)
    system = RunningSystem(record, layout)
    document["slices"] = _slices(system)
    topology = _ask(system.api, "GET", "/v1/topology")
    document["links_down"] = [c["id"] for c in topology.get("channels", []) if c["state"] != "up"]
    document |= {"encryption": topology.get("encryption"), "cards": topology.get("cards", [])}
    document["policy"] = topology.get("policy")
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
    say(f"{document['topology']} on the {datapath_words(record)}; API {document['api']}")
    print_table("Processes", ("name", "state"), document["processes"].items())
    print_table("KMEs", ("site", "URL"), document["kmes"].items())
    _print_network(document)
    say("faults: " + (", ".join(map(str, system.faults.active())) or "none"))
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


def _elsewhere(arguments: argparse.Namespace, api: Northbound) -> int:
    """What the API tells: neither processes nor faults, which are that machine's own."""
    status, slices = every_slice(api.call)
    if status != HTTPStatus.OK:
        raise_problem(status, slices)
    topology, health = get(api, "/v1/topology"), get(api, "/v1/healthz")
    document: dict[str, Any] = {
        "running": True,
        "topology": topology["name"],
        "api": api.url,
        "slices": slices,
        "links_down": [c["id"] for c in topology["channels"] if c["state"] != "up"],
        "encryption": topology["encryption"],
        "cards": topology["cards"],
        "policy": topology["policy"],
        "switches": {"connected": health["switches_connected"], "of": health["switches"]},
        "sections": topology["sections"],
    }
    broken = [c["id"] for c in topology["channels"] if c["state"] == "down"]
    complaints = _complaints({**document, "processes": {}, "faults": []}, broken) if arguments.check else []
    if arguments.check:
        document["complaints"] = complaints
    if arguments.json:
        print_json(document)
    else:
        say(f"{document['topology']}; API {document['api']}")
        _print_network(document)
        for complaint in complaints:
            say(f"not as it should be: {complaint}")
    return DidNotHold.exit_status if complaints else 0


def _print_network(document: dict[str, Any]) -> None:
    print_table("Slices", ("name", "state", "connections"),
                [(s["name"], s["state"], len(s["connections"])) for s in document["slices"]])  # fmt: skip
    say(f"links down: {', '.join(document['links_down']) or 'none'}")
    say(f"switches connected: {document['switches']['connected']} of {document['switches']['of']}")
    if document["encryption"] is not None:
        say(f"encryption: {document['encryption']}")
    if (policy := document["policy"]) is not None and (policy["always"] or policy["cost_profile"] != "premium-last"):
        say(f"policy: every key of QKD with {', '.join(policy['always']) or 'nothing'} too; {policy['cost_profile']}")
    if document["cards"]:
        columns = ("wavelength", "from", "to", "keys", "QKD bit/s", "over", "supplied")
        print_table("Cards", columns, [
            (c["wavelength"], c["a"], c["b"], c["key_source"], c["key_rate_bps"], " ".join(c["key_links"]),
             "yes" if c["is_supplied"] else "no relay has the rate")
            for c in document["cards"]
        ])  # fmt: skip


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


HANDLERS: Handlers = {"status": _status}
