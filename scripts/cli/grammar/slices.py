"""Slices: their life cycle."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Argument, Leaf, Needs, Section, argument
from scripts.cli.grammar.values import number

EXAMPLES = ("enterprise-app", "cdn", "ring")
SHAPES = """\
A request has one of two shapes. With cells, compute and core, connections holds the three of papers 001 and 002:
control (each cell - core), access (each cell - compute) and backhaul (compute - core). Otherwise connections is a
list:
  connections:
    - {name: up, from: cell1, to: core1, security: qkd, bandwidth_mbps: 2, reverse_bandwidth_mbps: 10, latency_ms: 20}
between any two sites; compute: {from: {vcpus: 2, memory_gb: 4}} is what it needs there. See scripts/examples/."""
NAME = argument("name", metavar="NAME", names="slice", help="the slice")
DRY_RUN = argument("--dry-run", action="store_true", help="plan it, change nothing")
WAIT = argument(
    "--wait", type=number, default=60.0, metavar="SECONDS",
    help="for key rates that are not known yet, as after a start of the KMS (default %(default)g; 0: not at all)",
)  # fmt: skip


def _file(text: str) -> Argument:
    return argument("file", nargs="?", metavar="FILE", names="file", help=text)


SECTION = Section(
    "Slices",
    (
        Leaf(
            "slice create", "slices.life_cycle", "Create a slice from a YAML or JSON request.",
            ("slice create --example enterprise-app", "slice create my-slice.yaml --dry-run"),
            "the slice does not fit, or could not be set up",
            (
                _file("the request, or `slices:` with a list of them; - reads standard input"),
                argument("--example", choices=EXAMPLES,
                         help="a use case of papers 001 and 002, or listed connections"),
                DRY_RUN,
                WAIT,
            ),
            Needs.API, details=SHAPES, name_of="name",
        ),
        Leaf(
            "slice list", "slices.reading", "List all slices.",
            ("slice list", "slice list -o name"), "the controller refused to answer",
            needs=Needs.API, name_of="name",
        ),
        Leaf(
            "slice show", "slices.reading", "Show one slice with its connections, their addresses and paths.",
            ("slice show enterprise-app", "slice show enterprise-app --format ietf"),
            "the controller refused to answer",
            (
                NAME,
                argument("--format", choices=("qslice", "ietf", "3gpp"), default="qslice",
                         help="qslice, or JSON after IETF or 3GPP data models"),
            ),
            Needs.API, name_of="name",
        ),
        Leaf(
            "slice patch", "slices.life_cycle", "Change a slice in service, make before break.",
            ("slice patch enterprise-app --set connections.access.bandwidth_mbps=20",
             "slice patch enterprise-app change.yaml --dry-run"),
            "the change does not fit, or could not be carried out; the slice is as it was",
            (
                NAME,
                _file("a merge patch in YAML or JSON; - reads standard input"),
                argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="changes",
                         help="e.g. connections.access.bandwidth_mbps=20, a listed connection by its name; "
                              "may be given several times"),
                DRY_RUN,
                WAIT,
            ),
            Needs.API, name_of="name",
        ),
        Leaf(
            "slice delete", "slices.life_cycle", "Remove a slice.",
            ("slice delete enterprise-app", "slice delete cdn --json"), "the controller could not remove it",
            (NAME,), Needs.API, name_of="name",
        ),
    ),
    {"slice": "the life cycle of slices"},
)  # fmt: skip
