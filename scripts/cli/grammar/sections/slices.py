"""Slices: their life cycle."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Argument, Leaf, Needs, Section, argument
from scripts.cli.grammar.values import count, number, seconds

EXAMPLES = ("enterprise-app", "cdn", "enterprise-app-protected", "cdn-protected", "ring")
SHAPES = """\
A request has one of two shapes. With cells, compute and core, connections holds the three of papers 001 and 002:
control (each cell - core), access (each cell - compute) and backhaul (compute - core). Otherwise connections is a
list:
  connections:
    - {name: up, from: cell1, to: core1, security: qkd, bandwidth_mbps: 2, reverse_bandwidth_mbps: 10, latency_ms: 20}
between any two sites; compute: {from: {vcpus: 2, memory_gb: 4}} is what it needs there. See scripts/examples/."""
NAME = argument("name", metavar="NAME", names="slice", help="the slice")
DRY_RUN = argument("--dry-run", action="store_true", help="plan it, change nothing")
STATES = ("scheduled", "reserved", "provisioning", "active", "degraded", "modifying", "deleting", "deleted", "failed")
CONNECTION = argument("slice", metavar="SLICE[/CONNECTION]", names="connection",
                      help="a slice, or one of its connections (`slice show`)")  # fmt: skip
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
                         help="a use case of papers 001 and 002, protected on networks with two ways, or listed "
                              "connections"),
                DRY_RUN,
                WAIT,
            ),
            Needs.API, details=SHAPES, name_of="name",
        ),
        Leaf(
            "slice reserve", "slices.reserving", "Hold what a slice needs for a time, without making it.",
            ("slice reserve --example enterprise-app", "slice reserve my-slice.yaml --seconds 600"),
            "the slice does not fit",
            (
                _file("the request; - reads standard input"),
                argument("--example", choices=EXAMPLES,
                         help="a use case of papers 001 and 002, or listed connections"),
                argument("--seconds", type=seconds, default=60.0, metavar="N",
                         help="how long it is held unless `slice activate` makes it (default %(default)g)"),
                WAIT,
            ),
            Needs.API, name_of="id",
            details="`slice delete` gives it up before; a request with a schedule cannot be reserved.",
        ),
        Leaf(
            "slice activate", "slices.reserving", "Make the slice that `slice reserve` holds.",
            ("slice activate enterprise-app", "slice activate my-slice --json"),
            "it could not be set up: nothing of it is left, and the reservation is over",
            (argument("name", metavar="NAME", names="slice", help="the slice, or the id of its reservation"),),
            Needs.API, name_of="name",
        ),
        Leaf(
            "slice list", "slices.reading", "List all slices.",
            ("slice list", "slice list -o name"), "the controller refused to answer",
            needs=Needs.API, name_of="name",
        ),
        Leaf(
            "slice show", "slices.reading", "Show one slice with its connections, their addresses and paths.",
            ("slice show enterprise-app --trace", "slice show enterprise-app --format ietf"),
            "the controller refused to answer",
            (
                NAME,
                argument("--format", choices=("qslice", "ietf", "3gpp"), default="qslice",
                         help="qslice, or JSON after IETF or 3GPP data models"),
                argument("--trace", action="store_true",
                         help="instead: the steps of its last set-up and tear-down with their start and end; also of "
                              "a slice that could not be set up, or is gone"),
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
            "slice delete", "slices.removal", "Remove a slice.",
            ("slice delete enterprise-app", "slice delete cdn --json"), "the controller could not remove it",
            (NAME,), Needs.API, name_of="name",
        ),
        Leaf(
            "slice wait", "slices.waiting", "Wait until a slice is in a state.",
            ("slice wait enterprise-app", "slice wait cdn --for deleted --timeout 10"),
            "the slice was in another state when the time was over, or failed",
            (
                NAME,
                argument("--for", choices=STATES, default="active", dest="state", help="(default %(default)s)"),
                argument("--timeout", type=number, default=60.0, metavar="SECONDS", help="(default %(default)g)"),
            ),
            Needs.API, name_of="name",
        ),
        Leaf(
            "slice schema", "slices.templates", "Print the JSON Schema of a slice request, for editors.",
            ("slice schema", "slice schema -o yaml"), "never", needs=Needs.PYTHON,
        ),
        Leaf(
            "slice template", "slices.templates", "Print a request to begin with; every field is explained in it.",
            ("slice template > my-slice.yaml", "slice template --example ring"), "never",
            (
                argument("--example", choices=("commented", *EXAMPLES), default="commented",
                         help="which (default %(default)s)"),
            ),
            Needs.PYTHON,
        ),
        Leaf(
            "ping", "slices.traffic", "Send echo requests over a slice's connections, and count what comes back.",
            ("ping enterprise-app", "ping enterprise-app/cell1-compute --count 100 --interval 0.01"),
            "nothing came back over one of them",
            (
                CONNECTION,
                argument("-c", "--count", type=count, default=5, metavar="N",
                         help="requests on each (default %(default)s)"),
                argument("-i", "--interval", type=number, default=0.2, metavar="SECONDS",
                         help="from one to the next (default %(default)g)"),
            ),
            name_of="connection",
        ),
        Leaf(
            "iperf", "slices.traffic", "Measure TCP throughput of a slice's connections, one after the other.",
            ("iperf enterprise-app", "iperf enterprise-app --seconds 5 --together"),
            "one of them could not be measured",
            (
                CONNECTION,
                argument("--seconds", type=count, default=2, metavar="N", help="of each (default %(default)s)"),
                argument("--together", action="store_true", help="all at the same time"),
            ),
            name_of="connection",
        ),
        Leaf(
            "capture", "slices.capture", "Capture a connection's packets, in its host or on a channel of its path.",
            ("capture enterprise-app/cell1-compute --count 5",
             "capture enterprise-app/cell1-compute --at channel --seconds 10 --out esp.pcap"),
            "tcpdump failed",
            (
                CONNECTION,
                argument("--at", default="host", metavar="host|channel|ID", names="channel",
                         help="host: what its programs send; channel: what is on the first channel of its path; or "
                              "another of its channels (default %(default)s)"),
                argument("-c", "--count", type=count, metavar="N", help="packets, then end (default: until Ctrl-C)"),
                argument("--seconds", type=number, metavar="N", help="end after so long"),
                argument("--out", type=Path, metavar="FILE", names="file",
                         help="write them there (pcap) instead of showing them"),
            ),
        ),
    ),
    {"slice": "the life cycle of slices"},
)  # fmt: skip
