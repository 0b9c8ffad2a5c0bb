"""``topo import`` and ``topo random``: networks of others, and drawn ones, as files of ours."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.cli.changes import put_change
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.errors import EnvironmentLacks, WrongRequest
from scripts.files.results import write_result
from scripts.testbed.paths import Layout
from topologies.derivation.demands import DemandOptions, slice_requests
from topologies.derivation.document import Derived, derive
from topologies.derivation.rules import Rules, parse_rules
from topologies.files import parse_document, read_bytes, to_yaml
from topologies.files.located_yaml import load_located
from topologies.files.parsing import read_text
from topologies.sources.reader import read_source
from topologies.sources.topohub_graphs import TopoHubMissing
from topologies.spec import Topology, TopologyError
from topologies.synthetic.options import RandomOptions
from topologies.synthetic.paper_000 import draw
from topologies.synthetic.requests import RANDOM_RULES, requests_of
from topologies.synthetic.tiered import draw_tiered


def _import(arguments: argparse.Namespace, layout: Layout) -> int:
    rules = _rules(arguments)
    try:
        graph = read_source(arguments.source, arguments.format)
    except TopoHubMissing as error:
        raise EnvironmentLacks(str(error)) from error
    except TopologyError as error:
        raise WrongRequest(f"SOURCE: {error}") from error
    slices = None
    try:
        derived = derive(graph, rules, arguments.name)
        if arguments.demands_as:
            options = DemandOptions(arguments.demands_security, mbps_per_unit=arguments.demands_scale)
            slices = _Slices("--demands-as", arguments.demands_as, *slice_requests(derived, options))
    except TopologyError as error:
        raise WrongRequest(f"SOURCE: {arguments.source}: {error}") from error
    header = [f"made by `topo import {arguments.source}`; what was assumed:", *derived.assumptions]
    return _hand_over(arguments, derived, header, slices)


def _random(arguments: argparse.Namespace, layout: Layout) -> int:
    try:
        options = RandomOptions(
            arguments.seed, arguments.slices, arguments.nodes, arguments.node_weights, arguments.edge_weights,
            arguments.edge_weight, arguments.within, arguments.between, arguments.km,
        )  # fmt: skip
        network = draw_tiered(options) if arguments.tiers else draw(options)
        derived = derive(network.graph, RANDOM_RULES, arguments.name)
        found = requests_of(network, derived, options, arguments.slices_security)
    except TopologyError as error:
        raise WrongRequest(str(error)) from error
    kind = "--tiers, " if arguments.tiers else ""
    header = [f"made by `topo random`: {kind}{options}, drawn by PCG32; what was assumed:", *derived.assumptions]
    slices = _Slices("--slices-as", arguments.slices_as, *found) if arguments.slices_as else None
    return _hand_over(arguments, derived, header, slices)


@dataclass(frozen=True)
class _Slices:
    """Slice requests, the option that asks for them and its file, and what was assumed."""

    option: str
    file: str
    requests: list[dict[str, Any]]
    assumptions: list[str]


def _hand_over(arguments: argparse.Namespace, derived: Derived, header: list[str], slices: _Slices | None) -> int:
    """Write files, or print, what is a topology for sure: it is read as `up` would read it first."""
    try:
        topology = parse_document(derived.document, derived.document["name"])
    except TopologyError as error:
        raise WrongRequest(f"{derived.graph.name}: {error}") from error
    text = to_yaml(derived.document, header)
    if arguments.out:
        _write("--out", arguments.out, text)
    if slices is not None:
        _write(slices.option, slices.file, _requests_text(slices))
    told = slices.assumptions if slices is not None and slices.requests else []
    if arguments.json:
        print_json({
            **_counts(topology), "file": arguments.out, "assumptions": header[1:],
            "document": derived.document, "requests": None if slices is None else slices.requests,
            "requests_assumptions": told,
        })  # fmt: skip
        return 0
    if not arguments.out:
        print(text, end="")
        return 0
    for line in (*header[1:], *told):
        say(f"assumed: {line}")
    say(f"{arguments.out}: {topology.name}, {len(topology.sites)} sites, {len(topology.channels)} channels, "
        f"{len(topology.sections)} QKD sections")  # fmt: skip
    if slices is not None:
        connections = sum(len(request["connections"]) for request in slices.requests)
        say(f"{slices.file}: {len(slices.requests)} slices, {connections} connections")
    return 0


def _counts(topology: Topology) -> dict[str, Any]:
    return {
        "name": topology.name, "sites": len(topology.sites), "channels": len(topology.channels),
        "sections": len(topology.sections),
    }  # fmt: skip


def _requests_text(slices: _Slices) -> str:
    comments = "".join(f"# {line}\n" for line in slices.assumptions)
    return comments + yaml.safe_dump(
        {"slices": slices.requests}, sort_keys=False, default_flow_style=None, width=200, allow_unicode=True
    )


def _write(option: str, file: str, text: str) -> None:
    try:
        write_result(Path(file), text)
    except OSError as error:
        raise WrongRequest(f"{option}: cannot write {file}: {error.strerror}") from error


def _rules(arguments: argparse.Namespace) -> Rules:
    try:
        document: dict[str, Any] = {}
        lines: Mapping[Any, int] | None = None
        if arguments.rules:
            content = read_bytes(Path(arguments.rules))
            document, lines = read_text(content, arguments.rules, "`topo schema --rules` prints what it may say")
        for change in arguments.changes:
            put_change(document, change, lambda text, path: load_located(text)[0])
        return parse_rules(document, arguments.rules or "--set", lines)
    except TopologyError as error:
        raise WrongRequest(f"{'--rules' if arguments.rules else '--set'}: {error}") from error


HANDLERS: Handlers = {
    "topo import": _import,
    "topo random": _random,
}
