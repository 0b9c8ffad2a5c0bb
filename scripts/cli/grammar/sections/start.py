"""Start and stop: a network's life, and the main job."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Leaf, Needs, Section, argument
from scripts.cli.grammar.shared import (
    API_PORT,
    ENCRYPTION,
    EXTENSION_TERMS,
    KEY_POLICIES,
    PROVISIONING,
    USE,
    topology_option,
)
from scripts.cli.grammar.values import number, slowness, whole

SECTION = Section(
    "Start and stop",
    (
        Leaf(
            "up", "start.run", "Start a network with its controller, KMS and tunnels.",
            ("up --detach", "up --topo metro-ring --detach"),
            "a network is already up, or a part of this one did not start",
            (
                topology_option("ukqntel"),
                argument("--detach", action="store_true",
                         help="return when everything runs; without it Mininet's shell opens"),
                API_PORT,
                argument("--scale", type=number, metavar="MBPS",
                         help="emulated Mbit/s for each real Gbit/s (default 1)"),
                argument("--bfd", action="store_true", default=None,
                         help="detect silent failures of channels by BFD (false alarms on a busy machine)"),
                argument("--tunnel", choices=("auto", "userspace", "kernel"),
                         help="what encrypts; auto: the kernel where it has ESP (default auto)"),
                ENCRYPTION, PROVISIONING, *KEY_POLICIES,
                argument("--attach", action="append", default=[], metavar="SITE=INTERFACE",
                         help="the interface of this machine that is the port of the site's attached channel"),
                argument("--unshaped", action="store_true", default=None,
                         help="channels at the machine's own speed, for throughput tests"),
                USE, *EXTENSION_TERMS,
                argument("--supervise", type=whole, metavar="DESCRIPTOR", help="==SUPPRESS=="),
            ),
        ),
        Leaf(
            "down", "start.down", "Stop and clean exactly what was started.",
            ("down", "down --json"), "a part could not be stopped or removed",
        ),
        Leaf(
            "status", "start.status", "Show what runs, slices, links and keys at a glance.",
            ("status", "status --check --json"), "with --check: something is not as it should be",
            (argument("--check", action="store_true",
                      help="exit status 1 unless all that should run does: processes, switches, slices, no fault"),),
            Needs.API,
        ),
        Leaf(
            "demo", "start.demo", "Set up slices, measure them, cut a channel, restore them, and write a report.",
            ("demo", "demo --topo metro-ring --report my-report"),
            "one of the report's checks did not hold",
            (
                topology_option("ukqntel"),
                argument("--report", type=Path, metavar="DIR", names="folder",
                         help="where the report goes (default results/demo)"),
                API_PORT, ENCRYPTION, PROVISIONING, *KEY_POLICIES,
                argument("--slowness", type=slowness, default=1.0, metavar="N",
                         help="for emulated processors: loads divided by N, time limits multiplied by N"),
            ),
        ),
    ),
)  # fmt: skip
