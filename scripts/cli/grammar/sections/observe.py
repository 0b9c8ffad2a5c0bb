"""Observe and script: commands inside hosts, Python."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Leaf, Needs, Section, argument
from scripts.cli.grammar.values import count, whole

SECTION = Section(
    "Observe and script",
    (
        Leaf(
            "events", "observe.events", "Show what has happened to slices, connections, links and keys.",
            ("events -f", "events --slice enterprise-app --kind connection --kind reroute"),
            "never; status 3 where the controller does not answer",
            (
                argument("-f", "--follow", action="store_true",
                         help="show what happens from now on, until Ctrl-C; with --json a document a line"),
                argument("--after", type=whole, metavar="N",
                         help="go on after the event with this sequence number (default: all that are kept)"),
                argument("--slice", metavar="NAME", names="slice", help="only what is about this slice"),
                argument("--kind", action="append", dest="kinds", default=[], metavar="KIND",
                         help="only events of this kind, such as slice or link; may be given several times"),
            ),
            Needs.API,
        ),
        Leaf(
            "logs", "observe.logs", "Show the end of what a process of the run has written.",
            ("logs controller", "logs tunnel-cell1 -f --lines 100"), "never",
            (
                argument("name", metavar="NAME", names="log", help="controller, kms, tunnel-SITE, supervisor"),
                argument("-f", "--follow", action="store_true",
                         help="go on with what it writes, until Ctrl-C; with --json a document a line"),
                argument("--lines", type=count, default=20, metavar="N", help="how many (default %(default)s)"),
            ),
        ),
        Leaf(
            "exec", "observe.inside",
            "Run a command inside a host's network namespace; its exit status is the command's.",
            ("exec cell1 -- ping -c 3 10.200.0.2", "exec core1 -- ip address"),
            "what the command means by it",
            (
                argument("host", metavar="HOST", names="site", help="the host, which has its site's name"),
                argument("argv", nargs="...", metavar="-- CMD ...", help="the command and its arguments"),
            ),
        ),
        Leaf(
            "python", None, "Run Python with QSlice at hand: `from scripts.testbed import Testbed`.",
            ("python", "python my-experiment.py --rounds 3"),
            "what the script means by it",
            (
                argument("file", nargs="?", metavar="FILE", names="file", help="a script; without it a prompt opens"),
                argument("argv", nargs="...", metavar="ARGS", help="the script's own arguments"),
            ),
            passes_on=True,
        ),
    ),
)  # fmt: skip
