"""Observe and script: commands inside hosts, Python."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Leaf, Section, argument

SECTION = Section(
    "Observe and script",
    (
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
