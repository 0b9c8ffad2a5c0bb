"""The topology that an option names: one that is shipped, or a user's file."""

from __future__ import annotations

from scripts.errors import WrongRequest
from topologies.files import DEFAULT_MBPS_PER_GBPS, ScaleError, catalog_names, load_topology
from topologies.spec import Topology, TopologyError

TOPO_METAVAR = "NAME|FILE"


def topo_help(default: str) -> str:
    """For the option's help."""
    return f"one of {', '.join(catalog_names())}, or a YAML or JSON file (default {default})"


def chosen_topology(
    name_or_path: str, scale: float = DEFAULT_MBPS_PER_GBPS, shaped: bool = True, named_by: str = "--topo"
) -> Topology:
    """The topology that ``--topo`` names, or whatever else ``named_by`` says; it can be emulated.

    WrongRequest names the option that is wrong.
    """
    try:
        topology = load_topology(name_or_path, scale, shaped)
        topology.require_room()
    except ScaleError as error:
        raise WrongRequest(f"--scale: {error}") from error
    except TopologyError as error:
        raise WrongRequest(f"{named_by}: {error}") from error
    return topology
