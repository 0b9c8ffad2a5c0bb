"""``python -m topologies.files NAME|FILE [MBPS_PER_GBPS]``: the topology in plain values, as JSON, for ``mn.py``.

Mininet's launcher runs on the system's Python, which lacks what reads files.
"""

from __future__ import annotations

import json
import sys

from topologies.files import DEFAULT_MBPS_PER_GBPS, load_topology
from topologies.spec import TopologyError


def main(name_or_path: str, mbps_per_gbps: str = str(DEFAULT_MBPS_PER_GBPS)) -> None:
    """Exits with the complaint where it cannot be emulated."""
    try:
        topology = load_topology(name_or_path, float(mbps_per_gbps))
        topology.require_room()
    except (TopologyError, ValueError) as error:
        sys.exit(f"--topo: {error}")
    sys.stdout.write(json.dumps(topology.to_dict()))


main(*sys.argv[1:])
