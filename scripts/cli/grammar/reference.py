"""The reference of all commands, as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from scripts.cli.grammar import help_text, tree
from scripts.cli.grammar.common import PROGRAM
from scripts.cli.grammar.leaf import Argument, Leaf

WIDTH = 110
HEAD = f"""\
# Commands

Generated from the parser by `python -m scripts.cli.grammar`; `{PROGRAM}` stands for `sudo scripts/qslice` in the clone.
"""


def reference() -> str:
    """The whole of docs/reference/cli.md."""
    lines = [HEAD]
    lines += [f"    {line}".rstrip() for line in help_text.of("", WIDTH).splitlines()]
    for section in tree.sections():
        lines += ["", f"## {section.title}"]
        for leaf in section.leaves:
            lines += ["", *_leaf(leaf)]
    return "\n".join(lines) + "\n"


def _leaf(leaf: Leaf) -> Iterator[str]:
    yield f"### `{leaf.path}`"
    yield ""
    also = " and ".join(f"`{alias}`" for alias in leaf.aliases)
    yield f"{leaf.sentence} Also {also}." if also else leaf.sentence
    yield ""
    yield from textwrap.wrap(
        help_text.usage(leaf, leaf.path), WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8,
        break_on_hyphens=False,
    )  # fmt: skip
    shown = [each for each in leaf.arguments if not each.is_hidden]
    if shown:
        yield ""
        yield from _table(shown)
    if leaf.details:
        yield ""
        yield from (f"    {line}".rstrip() for line in leaf.details.splitlines())
    yield ""
    yield from (f"    {PROGRAM} {example}" for example in leaf.examples)
    yield ""
    yield f"Exit status 1: {leaf.fails}. {help_text.NEEDED[leaf.needs]}"


def _table(arguments: Iterable[Argument]) -> Iterator[str]:
    yield "| argument | meaning |"
    yield "| --- | --- |"
    for each in arguments:
        yield f"| `{_cell(help_text.name_of(each))}` | {_cell(help_text.meaning(each)) or '-'} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
