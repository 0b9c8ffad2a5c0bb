"""``ping`` and ``iperf``: whether a slice's connections carry what they should, measured between their hosts."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from scripts.cli.commands.slices.chosen import chosen_connections
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table
from scripts.errors import WrongRequest
from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.iperf import IperfResult, iperf_together
from scripts.measure.programs.ping import PingResult, ping_all
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem

MOST_PINGS, MOST_S = 100_000, 3600
LEAST_INTERVAL_S = 0.001


def _ping(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.count > MOST_PINGS:
        raise WrongRequest(f"--count: at most {MOST_PINGS}")
    if not LEAST_INTERVAL_S <= arguments.interval <= MOST_S:
        raise WrongRequest(f"--interval: {arguments.interval:g} is not from {LEAST_INTERVAL_S:g} to {MOST_S} seconds")
    system = RunningSystem(running_record(layout), layout)
    connections = [each for each, _ in chosen_connections(system, arguments.slice)]
    results = ping_all(system, connections, arguments.count, arguments.interval)
    documents = [_ping_document(each, results[each.id]) for each in connections]
    if arguments.json:
        print_json(documents)
    else:
        columns = ("connection", "from", "to", "address", "sent", "back", "least ms", "mean ms", "most ms")
        print_table("Echoes", columns, [
            (d["connection"], d["src"], d["dst"], d["address"], d.get("sent"), d.get("received"), d.get("min_ms"),
             d.get("avg_ms"), d.get("max_ms") if "error" not in d else d["error"])
            for d in documents
        ])  # fmt: skip
    return 0 if all(document.get("received") for document in documents) else 1


def _ping_document(connection: Connection, result: PingResult | MeasurementError) -> dict[str, Any]:
    found = {"error": str(result)} if isinstance(result, MeasurementError) else {
        **asdict(result), "loss_pct": result.loss_pct,
    }  # fmt: skip
    return {**_ends(connection), **found}


def _iperf(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.seconds > MOST_S:
        raise WrongRequest(f"--seconds: at most {MOST_S}")
    system = RunningSystem(running_record(layout), layout)
    connections = [each for each, _ in chosen_connections(system, arguments.slice)]
    results: dict[str, IperfResult | MeasurementError] = {}
    for group in [connections] if arguments.together else [[each] for each in connections]:
        results |= iperf_together(system, group, arguments.seconds)
    documents = [_iperf_document(each, results[each.id]) for each in connections]
    if arguments.json:
        print_json(documents)
    else:
        print_table("TCP throughput", ("connection", "from", "to", "asked Mbit/s", "Mbit/s", "retransmitted"), [
            (d["connection"], d["src"], d["dst"], d["asked_mbps"], d.get("received_mbps", d.get("error")),
             d.get("retransmits"))
            for d in documents
        ])  # fmt: skip
    return 0 if all("error" not in document for document in documents) else 1


def _iperf_document(connection: Connection, result: IperfResult | MeasurementError) -> dict[str, Any]:
    found = {"error": str(result)} if isinstance(result, MeasurementError) else asdict(result)
    return {**_ends(connection), "asked_mbps": connection.bandwidth_mbps, **found}


def _ends(connection: Connection) -> dict[str, Any]:
    return {
        "slice": connection.slice, "connection": connection.name, "src": connection.src, "dst": connection.dst,
        "address": connection.dst_address,
    }  # fmt: skip


HANDLERS: Handlers = {"ping": _ping, "iperf": _iperf}
