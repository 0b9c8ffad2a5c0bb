"""``slice list|show``: what slices there are. Neither root nor set-up is needed to ask a controller elsewhere."""

from __future__ import annotations

import argparse
import time
from typing import Any
from urllib.parse import quote

from scripts.cli.commands.slices.times import time_text
from scripts.cli.commands.slices.tracing import show_traces
from scripts.cli.controllers import controller_of, get
from scripts.cli.handlers import Handlers
from scripts.cli.paths import LATENCY_COLUMNS, latency_rows, path_text
from scripts.cli.problems import raise_problem
from scripts.console.output import print_json, print_table, say
from scripts.testbed.clients import every_slice
from scripts.testbed.paths import Layout


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    status, slices = every_slice(controller_of(arguments, layout).call)
    if status != 200:
        raise_problem(status, slices)
    if arguments.json:
        print_json(slices)
        return 0
    now = time.time()
    rows = [
        (s["name"], s["state"], s["compute_site"], s["request"].get("core"), len(s["connections"]), time_text(s, now))
        for s in slices
    ]
    print_table("Slices", ("name", "state", "compute", "core", "connections", "time"), rows)
    return 0


def _show(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.trace:
        return show_traces(controller_of(arguments, layout), arguments.name, as_json=arguments.json)
    is_ours = arguments.format == "qslice"
    body = get(controller_of(arguments, layout), path_of(arguments.name) + ("" if is_ours else f"/{arguments.format}"))
    if arguments.json or not is_ours:
        print_json(body)
    else:
        say(f"slice {body['name']}: {body['state']}" + (f" ({body['reason']})" if body.get("reason") else ""))
        if comes := time_text(body, time.time()):
            say(comes)
        print_connections(body)
    return 0


def path_of(name: str) -> str:
    """Where the API has a slice."""
    return f"/v1/slices/{quote(name, safe='')}"


def print_connections(body: dict[str, Any]) -> None:
    """The connections of a slice, for a person."""
    columns = (
        "connection",
        "from",
        "to",
        "address",
        "peer",
        "asked",
        "level",
        "keys",
        "sealed by",
        "suite",
        "protection",
        "path",
        "backup",
        "state",
    )
    print_table("Connections", columns, [
        (c["name"], c["src"], c["dst"], c.get("src_address"), c.get("dst_address"), c["required"],
         c.get("level", c["required"]), c["key_source"], c.get("sealed_by") or "-", c.get("suite") or "-",
         c.get("protection"), path_text(c), path_text(c["backup"]), c.get("state"))
        for c in body["connections"]
    ])  # fmt: skip
    if latencies := latency_rows(body["connections"]):
        print_table("Latency", LATENCY_COLUMNS, latencies)
    _print_hops(body)
    if "wavelengths" in body and any(c["client_ports"] for c in body["connections"]):
        _print_circuits(body)
    for added in dict.fromkeys(tuple(c.get("added_by_policy", ())) for c in body["connections"]):
        names = [c["name"] for c in body["connections"] if tuple(c.get("added_by_policy", ())) == added]
        if added:
            say(f"the operator's policy adds {' and '.join(added)} to the keys of {', '.join(names)}")
    for connection in body["connections"]:
        notes = [connection.get("reason"), *connection.get("conditions", ())]
        for note in dict.fromkeys(n for n in notes if n):
            say(f"{connection['name']}: {note}")


def _print_hops(body: dict[str, Any]) -> None:
    """Which channels cards seal, where they do."""
    hops = [(c["name"], hop) for c in body["connections"] for hop in c.get("hops", ())]
    if any(hop["sealed"] for _, hop in hops):
        columns = ("connection", "channel", "wavelength", "class", "on the line", "card's keys")
        print_table("Channels of the paths", columns, [
            (name, hop["channel"], hop["wavelength"], hop["class"], "sealed" if hop["sealed"] else "as it comes",
             hop["key_source"])
            for name, hop in hops
        ])  # fmt: skip


def _print_circuits(body: dict[str, Any]) -> None:
    """The client ports that a slice has, and the cross-connects at optical switches, for a person."""
    columns = ("wavelength", "class", "ports of the slice", "used", "free")
    print_table("Client ports", columns, [
        (w["id"], w["class"], w["ports_of_slice"], w["ports_used"], w["ports_free"]) for w in body["wavelengths"]
    ])  # fmt: skip
    if body["cross_connects"]:
        print_table("Cross-connects", ("site", "connection", "from", "to"), [
            (c["site"], c["connection"], _port_text(c["from"]), _port_text(c["to"])) for c in body["cross_connects"]
        ])  # fmt: skip


def _port_text(port: dict[str, Any] | None) -> str:
    return "the site" if port is None else f"{port['wavelength']} port {port['port']}"


HANDLERS: Handlers = {"slice list": _list, "slice show": _show}
