"""``topo``: networks of the user's own: what is shipped, how a file is written, what is wrong with one."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from scripts.cli.handlers import Handlers
from scripts.cli.topologies import TOPO_METAVAR
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout
from topologies.derivation.rules import rules_schema
from topologies.files import (
    DocumentError,
    catalog_names,
    json_schema,
    load_topology,
    remarks,
    to_document,
    to_yaml,
)
from topologies.spec import SecurityClass, Topology, TopologyError


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    found = [load_topology(name) for name in catalog_names()]
    if arguments.json:
        print_json([{**_summary(topology), "description": topology.description} for topology in found])
    else:
        rows = [(t.name, len(t.sites), len(t.channels), len(t.sections), t.description) for t in found]
        print_table("Topologies", ("name", "sites", "channels", "QKD sections", "what it is"), rows)
    return 0


def _show(arguments: argparse.Namespace, layout: Layout) -> int:
    try:
        document = to_document(load_topology(arguments.topology))
    except TopologyError as error:
        raise WrongRequest(f"{TOPO_METAVAR}: {error}") from error
    if arguments.json or arguments.format == "json":
        print_json(document)
    else:
        print(to_yaml(document), end="")
    return 0


def _validate(arguments: argparse.Namespace, layout: Layout) -> int:
    try:
        topology = load_topology(arguments.topology)
    except DocumentError as error:
        if arguments.json:
            problems = [{"line": p.line, "field": p.place, "message": p.message, "remedy": p.remedy}
                        for p in error.problems]  # fmt: skip
            print_json({"valid": False, "problems": problems, "remarks": []})
        else:
            for problem in error.problems:
                say(f"{arguments.topology}:{problem.line or 1}: {problem}")
        return WrongRequest.exit_status
    except TopologyError as error:
        raise WrongRequest(f"FILE: {error}") from error
    found, summary = remarks(topology), _summary(topology)
    if arguments.json:
        print_json({"valid": True, "problems": [], "remarks": found, **summary})
        return 0
    for remark in found:
        say(f"{arguments.topology}: remark: {remark}")
    classes = ", ".join(f"{count} {name}" for name, count in summary["classes"].items())
    say(f"{arguments.topology}: {topology.name} is valid: {summary['sites']} sites, {summary['channels']} channels "
        f"({classes}), {summary['sections']} QKD sections")  # fmt: skip
    return 0


def _summary(topology: Topology) -> dict[str, Any]:
    classes = Counter(channel.security for channel in topology.channels)
    return {
        "name": topology.name, "sites": len(topology.sites), "channels": len(topology.channels),
        "classes": {security.label: classes[security] for security in SecurityClass},
        "sections": len(topology.sections), "qkd_links": len(topology.qkd_links),
    }  # fmt: skip


def _schema(arguments: argparse.Namespace, layout: Layout) -> int:
    print_json(rules_schema() if arguments.rules else json_schema())
    return 0


HANDLERS: Handlers = {
    "topo list": _list,
    "topo show": _show,
    "topo validate": _validate,
    "topo schema": _schema,
}
