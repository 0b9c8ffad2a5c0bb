"""This installation: set-up, what the machine can do, tests, version."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Leaf, Needs, Section, argument

SECTION = Section(
    "This installation",
    (
        Leaf(
            "setup", "installation.doctor", "Make this machine ready, then show what it can do.",
            ("setup", "setup --json"), "never; status 3 where something required is missing",
        ),
        Leaf(
            "doctor", "installation.doctor",
            "Show what this machine can do, and what is done instead of what it cannot.",
            ("doctor", "doctor --json"), "never; status 3 where something required is missing",
        ),
        Leaf(
            "test", None, "Run lint and the tests; other arguments go to pytest.",
            ("test --fast", "test -k replay"), "a complaint or a failed test",
            (
                argument("--fast", action="store_true", help="without slow tests and those that need root"),
                argument("--part", choices=("networks", "rest"),
                         help="one of the two that otherwise run beside each other: tests that make networks, or the "
                              "rest"),
                argument("--vm", action="store_true",
                         help="the tests that need Debian 12's kernel, in a guest (QEMU)"),
                argument("--long", action="store_true", help="half an hour under load, in which no process may grow"),
                argument("--junitxml", type=Path, metavar="FILE", names="file", help="a JUnit report of the tests"),
                argument("-k", metavar="EXPR", dest="expression", help="only tests whose names match"),
            ),
            passes_on=True,
        ),
        Leaf(
            "version", "installation.version", "Print the version and the commit.",
            ("version", "version --json"), "never", needs=Needs.NOTHING,
        ),
    ),
)  # fmt: skip
