"""For Mininet's own launcher: ``sudo mn --custom topologies/mn.py --topo ukqntel``, or ``--topo file,my.yaml``.

The switches fail secure: without a controller that installs slices they forward nothing.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

# mn executes this text without its package and without __file__; the code object still knows where it came from.
sys.path.insert(0, str(Path(sys._getframe().f_code.co_filename).resolve().parent.parent))

from topologies.datapath import ovs_datapath
from topologies.files import catalog_names, load_topology
from topologies.net import SiteTopo
from topologies.spec import TopologyError


def _topo(name_or_path: str, scale: float = 1.0) -> SiteTopo:
    try:
        topology = load_topology(str(name_or_path), float(scale))
        topology.require_room()
    except TopologyError as error:
        sys.exit(f"mn: --topo: {error}")
    return SiteTopo(topology=topology, datapath_type=ovs_datapath())


topos = {"file": _topo} | {name: partial(_topo, name) for name in catalog_names()}
