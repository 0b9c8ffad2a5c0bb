"""``topo draw``: a network as a picture (SVG)."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.cli.handlers import Handlers
from scripts.cli.topologies import TOPO_METAVAR
from scripts.console.output import print_json, say
from scripts.errors import WrongRequest
from scripts.files.results import write_result
from scripts.report.topology_svg import standalone
from scripts.testbed.paths import Layout
from topologies.files import load_topology
from topologies.spec import TopologyError


def _draw(arguments: argparse.Namespace, layout: Layout) -> int:
    try:
        topology = load_topology(arguments.topology)
    except TopologyError as error:
        raise WrongRequest(f"{TOPO_METAVAR}: {error}") from error
    picture = standalone(topology, weights=arguments.weights)
    if arguments.out:
        try:
            write_result(Path(arguments.out), picture)
        except OSError as error:
            raise WrongRequest(f"--out: cannot write {arguments.out}: {error.strerror}") from error
    if arguments.json:
        print_json({"topology": topology.name, "file": arguments.out, "svg": None if arguments.out else picture})
    elif arguments.out:
        say(f"{arguments.out}: {topology.name}, {len(topology.sites)} sites, {len(topology.channels)} channels")
    else:
        print(picture, end="")
    return 0


HANDLERS: Handlers = {
    "topo draw": _draw,
}
