"""The manual page qslice(1), in the man macros of roff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scripts.cli.grammar import help_text, tree
from scripts.cli.grammar.common import COMMON, PROGRAM
from scripts.cli.grammar.leaf import Argument, Leaf

STATUSES = (
    ("0", "done"),
    ("1", "what was asked for did not hold"),
    ("2", "the request was wrong; the message names the field"),
    ("3", "the environment is missing something; the message says what installs it"),
    ("130", "interrupted"),
)
VARIABLES = (
    ("QSLICE_API", "the controller to ask, as --api"),
    ("QSLICE_TOKEN, QSLICE_TOKEN_FILE", "a bearer token of that controller, or a file that holds one"),
    ("QSLICE_CONFIG", "settings, as --config"),
    ("NO_COLOR", "no colours in tables and progress"),
)


def manual() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.\\" Generated from the parser by `python -m scripts.cli.grammar`.'
    yield ".TH QSLICE 1"
    yield ".SH NAME"
    yield f"{PROGRAM} \\- 5G network slices with quantum\\-safe security, emulated on one machine"
    yield ".SH SYNOPSIS"
    yield f".B {PROGRAM}"
    yield _text("[--api URL] [--config FILE] [-o table|json|yaml|name] [-v] COMMAND ...")
    yield ".SH OPTIONS OF EVERY COMMAND"
    yield from _arguments(COMMON)
    for section in tree.sections():
        yield f".SH {_text(section.title).upper()}"
        for leaf in section.leaves:
            yield from _leaf(leaf)
    for title, pairs in (("EXIT STATUS", STATUSES), ("ENVIRONMENT", VARIABLES)):
        yield f".SH {title}"
        for name, meaning in pairs:
            yield from (".TP", f".B {_text(name)}", _text(meaning))


def _leaf(leaf: Leaf) -> Iterator[str]:
    yield f".SS {PROGRAM} {_text(leaf.path)}"
    also = " and ".join(leaf.aliases)
    yield _text(f"{leaf.sentence} Also {also}." if also else leaf.sentence)
    yield ".PP"
    yield f".B {_text(help_text.usage(leaf, leaf.path))}"
    yield from _arguments(each for each in leaf.arguments if not each.is_hidden)
    if leaf.details:
        yield from (".PP", ".nf", *(_text(line) for line in leaf.details.splitlines()), ".fi")
    yield from (".PP", "Examples:", ".PP", ".nf", ".RS")
    yield from (_text(f"{PROGRAM} {example}") for example in leaf.examples)
    yield from (".RE", ".fi", ".PP")
    yield _text(f"Exit status 1: {leaf.fails}. {help_text.NEEDED[leaf.needs]}")


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for each in arguments:
        yield from (".TP", f".B {_text(help_text.name_of(each))}", _text(help_text.meaning(each)) or "\\&")


def _text(text: str) -> str:
    """As roff takes it: no request, no escape, hyphens that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
