"""The program's name, and the options of every command."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Argument, Leaf, argument

PROGRAM = "qslice"
FORMS = ("table", "json", "yaml", "name")
# Before the command or behind it.
COMMON = (
    argument("--json", action="store_true", help="one JSON document on standard output; the same as -o json"),
    argument("-o", "--output", choices=FORMS, metavar="FORM",
             help=f"how the result is printed: {', '.join(FORMS)} (default table)"),
    argument("--api", metavar="URL", help="a controller elsewhere, such as http://127.0.0.1:8080 (or QSLICE_API)"),
    argument("--config", metavar="FILE", names="file", help="settings, instead of their defaults (or QSLICE_CONFIG)"),
    argument("-v", "--verbose", action="store_true", help="say more on standard error"),
)  # fmt: skip


def common_of(leaf: Leaf) -> tuple[Argument, ...]:
    """Those that a command has: what is passed on to pytest or a script may have an -o and a -v of its own."""
    return COMMON[:1] if leaf.passes_on else COMMON
