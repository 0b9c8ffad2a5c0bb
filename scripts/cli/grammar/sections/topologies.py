"""Networks of the user's own: shipped ones, files, others' formats, random ones, pictures."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Argument, Leaf, Needs, Section, argument
from scripts.cli.grammar.shared import LEVELS, TOPOLOGY
from scripts.cli.grammar.values import number, positive, span, whole

IMPORT_FORMATS = ("graphml", "gml", "sndlib", "node-link", "gnpy", "netjson")
OUT_FILE = argument("--out", metavar="FILE", names="file", help="write it there instead of to standard output")
OUTPUT = (OUT_FILE, argument("--name", help="of the topology"))
NEVER = "never"


def _span(flag: str, default: tuple[int, int], what: str) -> Argument:
    text = f"{what} (default {default[0]}..{default[1]})"
    return argument(flag, type=span, default=default, metavar="A..B", help=text)


def _probability(flag: str, default: float) -> Argument:
    text = f"probability of an edge {flag[2:]} slices (default {default:g})"
    return argument(flag, type=number, default=default, metavar="P", help=text)


SECTION = Section(
    "Topologies",
    (
        Leaf(
            "topo list", "topo.topo", "List the shipped topologies.",
            ("topo list", "topo list -o name"), NEVER, needs=Needs.PYTHON, name_of="name",
        ),
        Leaf(
            "topo show", "topo.topo", "Print a topology in its full form, to read or to begin a file with.",
            ("topo show ukqntel", "topo show metro-ring --format json"), NEVER,
            (TOPOLOGY, argument("--format", choices=("yaml", "json"), default="yaml", help="(default %(default)s)")),
            Needs.PYTHON,
        ),
        Leaf(
            "topo validate", "topo.topo", "Say what is wrong with a topology file, and what is odd about it.",
            ("topo validate my-metro.yaml", "topo validate my-metro.yaml --json"), NEVER,
            (argument("topology", metavar="FILE", names="file", help="the topology"),), Needs.PYTHON,
        ),
        Leaf(
            "topo schema", "topo.topo", "Print the JSON Schema of a topology file, for editors.",
            ("topo schema", "topo schema --rules"), NEVER,
            (argument("--rules", action="store_true", help="that of the rules of `topo import` instead"),),
            Needs.PYTHON,
        ),
        Leaf(
            "topo draw", "topo.draw", "Draw a topology as SVG.",
            ("topo draw ukqntel --out ukqntel.svg", "topo draw my-metro.yaml --weights latency"), NEVER,
            (
                TOPOLOGY, OUT_FILE,
                argument("--weights", choices=("capacity", "latency"),
                         help="write vCPUs beside sites, and this beside fibres"),
            ),
            Needs.PYTHON,
        ),
        Leaf(
            "topo import", "topo.sources",
            "Make a topology file from GraphML, GML, SNDlib, TopoHub, GNPy, NetJSON or Mininet.",
            ("topo import abilene.graphml --out abilene.yaml",
             "topo import topohub:sndlib/polska --set km.default=50 --demands-as demands.yaml"),
            NEVER,
            (
                argument("source", metavar="SOURCE", names="file",
                         help="a file, topohub:GROUP/NAME, or a Mininet Topo as module:Class (which is imported from "
                              "here, and run)"),
                argument("--format", choices=IMPORT_FORMATS, help="of the file, where its content does not tell"),
                *OUTPUT,
                argument("--rules", metavar="FILE", names="file",
                         help="what becomes of nodes and edges (docs/how-to/own-network.md)"),
                argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="changes",
                         help="one rule, e.g. km.default=50; may be given several times"),
                argument("--demands-as", metavar="FILE", names="file",
                         help="write the source's traffic matrix as slice requests, for `slice create FILE`"),
                argument("--demands-security", choices=LEVELS, default="qra",
                         help="of these slices (default %(default)s)"),
                argument("--demands-scale", type=positive, metavar="MBPS",
                         help="Mbit/s of the emulated network for a unit of demand"),
            ),
            Needs.PYTHON,
        ),
        Leaf(
            "topo random", "topo.sources", "Make paper 000's random network, the same for the same seed.",
            ("topo random --seed 7 --out random.yaml", "topo random --tiers --slices 4 --slices-as slices.yaml"),
            NEVER,
            (
                argument("--seed", type=whole, default=0, metavar="N", help="(default %(default)s)"),
                argument("--slices", type=whole, default=3, metavar="N", help="(default %(default)s)"),
                argument("--nodes", type=whole, default=8, metavar="N", help="in each slice (default %(default)s)"),
                _span("--node-weights", (1, 10), "vCPUs of a site"),
                _span("--edge-weights", (1, 10), "tens of Gbit/s, or tenths of a ms, of a fibre"),
                _span("--km", (2, 40), "of a fibre whose weight is the capacity"),
                argument("--edge-weight", choices=("capacity", "latency"), default="capacity",
                         help="(default %(default)s)"),
                _probability("--within", 0.5),
                _probability("--between", 0.1),
                argument("--tiers", action="store_true", help="cells, aggregation, metro and core instead"),
                argument("--slices-as", metavar="FILE", names="file",
                         help="write its slices as requests, for `slice create FILE`"),
                argument("--slices-security", choices=LEVELS, default="qkd", help="(default %(default)s)"),
                *OUTPUT,
            ),
            Needs.PYTHON,
        ),
    ),
    {"topo": "networks of your own"},
)  # fmt: skip
