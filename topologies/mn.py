"""For Mininet's own launcher: ``sudo mn --custom topologies/mn.py --topo ukqntel``.

The switches fail secure: without a controller that installs slices they forward nothing.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

# mn executes this text without its package and without __file__; the code object still knows where it came from.
sys.path.insert(0, str(Path(sys._getframe().f_code.co_filename).resolve().parent.parent))

from topologies.catalog import CATALOG, load
from topologies.datapath import ovs_datapath
from topologies.mininet_nodes import SiteTopo


def _topo(name: str, scale: float = 1.0) -> SiteTopo:
    return SiteTopo(topology=load(name, mbps_per_gbps=float(scale)), datapath_type=ovs_datapath())


topos = {name: partial(_topo, name) for name in CATALOG}
