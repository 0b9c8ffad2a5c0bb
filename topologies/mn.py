"""For Mininet's own launcher: ``sudo mn --custom topologies/mn.py --topo ukqntel``, or ``--topo file,my.yaml``.

The switches fail secure: without a controller that installs slices they forward nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

# mn executes this text without its package and without __file__; the code object still knows where it came from.
sys.path.insert(0, str(Path(sys._getframe().f_code.co_filename).resolve().parent.parent))

from topologies.datapath import ovs_datapath
from topologies.mininet_nodes import SiteTopo
from topologies.spec import topology_from_dict

REPOSITORY = Path(sys.path[0])
# The system's Python, which runs mn, lacks what reads files.
READER = REPOSITORY / ".venv" / "bin" / "python"


def _topo(name_or_path: object, scale: float = 1.0) -> SiteTopo:
    if not READER.exists():
        sys.exit(f"mn: {READER} is missing: first run scripts/qslice setup")
    path = {"PYTHONPATH": str(REPOSITORY)}
    words = [str(READER), "-m", "topologies.files", str(name_or_path), str(scale)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, env=path)
    if done.returncode:
        sys.exit("mn: the topology cannot be built")
    topology = topology_from_dict(json.loads(done.stdout))
    if topology.attached_interfaces:
        sys.exit("mn: interfaces of this machine are attached by scripts/qslice up alone")
    return SiteTopo(topology=topology, datapath_type=ovs_datapath())


topos = {"file": _topo} | {
    path.stem: partial(_topo, path.stem) for path in REPOSITORY.glob("topologies/catalog/*.yaml")
}
