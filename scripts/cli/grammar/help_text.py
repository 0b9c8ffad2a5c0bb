"""Help as text: of all commands, of the commands under a word, of one."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator

from scripts.cli.grammar import tree
from scripts.cli.grammar.common import COMMON, PROGRAM, common_of
from scripts.cli.grammar.leaf import Argument, Leaf, Needs

WIDEST, NARROWEST = 110, 40
MARGIN = 26
STATUSES = """\
Exit status: 0 done, 1 what was asked for did not hold, 2 the request was wrong, 3 the environment is missing
something. Every command takes --json; `qslice COMMAND --help` says more, with examples."""
NEEDED = {
    Needs.ROOT: "Needs root; the first call makes the machine ready.",
    Needs.API: "Needs root, or --api (QSLICE_API) with a controller's address; for changes a token too (QSLICE_TOKEN).",
    Needs.PYTHON: "Needs the set-up (`qslice setup`), not root.",
    Needs.NOTHING: "Needs neither root nor set-up.",
}


def of(path: str, width: int | None = None) -> str:
    """The help of a path in the tree, in lines of at most ``width`` columns (as the terminal has)."""
    columns = width or max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns - 1))
    leaf = tree.find(path)
    lines = _overview(columns) if not path else _group(path, columns) if leaf is None else _leaf(leaf, path, columns)
    return "\n".join(lines) + "\n"


def usage(leaf: Leaf, path: str) -> str:
    """How it is called, without the options of every command."""
    options = [_usage_of(each) for each in leaf.arguments if each.is_option and not each.is_hidden]
    values = [_usage_of(each) for each in leaf.arguments if not each.is_option]
    return " ".join([PROGRAM, path, *options, *values])


def _overview(columns: int) -> Iterator[str]:
    yield f"Usage: {PROGRAM} [--api URL] [--config FILE] [-o table|json|yaml|name] [-v] COMMAND ..."
    for each in tree.sections():
        yield ""
        yield each.title
        for name, text in _entries(each.leaves):
            yield from _item(name, text, columns)
    yield ""
    yield "Options of every command"
    yield from _arguments(COMMON, columns)
    yield ""
    yield from textwrap.wrap(STATUSES, columns)


def _entries(leaves: Iterable[Leaf]) -> Iterator[tuple[str, str]]:
    """Each leaf of one word, and each word with those under it."""
    groups: dict[str, list[str]] = {}
    for leaf in leaves:
        group, _, word = leaf.path.rpartition(" ")
        groups.setdefault(group or leaf.path, []).append(word if group else "")
    for name, words in groups.items():
        leaf_found = tree.find(name)
        if leaf_found is not None:
            yield name, _also(leaf_found.sentence, leaf_found.aliases)
        else:
            yield f"{name} {'|'.join(words)}", tree.about(name)
    for alias in dict.fromkeys(alias.split()[0] for leaf in leaves for alias in leaf.aliases):
        words = [path.split()[-1] for leaf in leaves for path in leaf.aliases if path.startswith(f"{alias} ")]
        same = next(leaf.path for leaf in leaves for path in leaf.aliases if path.split()[0] == alias)
        yield f"{alias} {'|'.join(words)}".strip(), f"the same as {same.split()[0] if words else same}"


def _group(path: str, columns: int) -> Iterator[str]:
    yield f"Usage: {PROGRAM} {path} ACTION ..."
    yield ""
    yield from textwrap.wrap(f"{tree.about(path)[:1].upper()}{tree.about(path)[1:]}.", columns)
    yield ""
    for leaf in tree.leaves(path.split()[0]):
        for each in leaf.paths:
            if each.startswith(f"{path} "):
                yield from _item(each.removeprefix(f"{path} "), leaf.sentence, columns)
    yield ""
    yield f"`{PROGRAM} {path} ACTION --help` says more, with examples."


def _leaf(leaf: Leaf, path: str, columns: int) -> Iterator[str]:
    yield from textwrap.wrap(f"Usage: {usage(leaf, path)}", columns, subsequent_indent=" " * 8, break_on_hyphens=False)
    yield ""
    others = [other for other in leaf.paths if other != path]
    yield from textwrap.wrap(_also(leaf.sentence, others), columns)
    shown = [each for each in leaf.arguments if not each.is_hidden]
    for title, those in (
        ("Arguments", [each for each in shown if not each.is_option]),
        ("Options", [each for each in shown if each.is_option]),
        ("Options of every command", common_of(leaf)),
    ):
        if those:
            yield ""
            yield title
            yield from _arguments(those, columns)
    if leaf.details:
        yield ""
        yield from leaf.details.splitlines()
    yield ""
    yield "Examples"
    yield from (f"  {PROGRAM} {example}" for example in leaf.examples)
    yield ""
    yield from textwrap.wrap(f"Exit status 1: {leaf.fails}. {NEEDED[leaf.needs]}", columns)


def _also(sentence: str, others: Iterable[str]) -> str:
    names = " and ".join(f"`{other}`" for other in others)
    return f"{sentence} Also {names}." if names else sentence


def _arguments(arguments: Iterable[Argument], columns: int) -> Iterator[str]:
    for each in arguments:
        yield from _item(name_of(each), meaning(each), columns)


def meaning(each: Argument) -> str:
    """Its help, with its default as argparse fills it in, and the values that there are."""
    text = str(each.options.get("help", ""))
    if "%(" in text:
        text %= {"default": each.options.get("default"), "const": each.options.get("const")}
    choices = [str(choice) for choice in each.options.get("choices", ())]
    if choices and not all(choice in text for choice in choices):
        text = "; ".join(part for part in (text, f"one of {', '.join(choices)}") if part)
    return text


def name_of(each: Argument) -> str:
    """Flags and value of an option, or the word for a positional argument."""
    return f"{', '.join(each.flags)} {value_of(each)}".strip() if each.is_option else value_of(each)


def value_of(each: Argument) -> str:
    """The word for what it takes; empty where it takes nothing."""
    if each.is_option and not each.takes_value:
        return ""
    own = each.flags[-1].lstrip("-").upper() if each.is_option else each.flags[0].upper()
    word = str(each.options.get("metavar") or own)
    nargs = each.options.get("nargs")
    if each.is_option:
        return {"+": f"{word} [{word} ...]", "?": f"[{word}]"}.get(str(nargs), word)
    return word


def _usage_of(each: Argument) -> str:
    choices, nargs = each.options.get("choices"), each.options.get("nargs")
    value = value_of(each)
    if each.is_option:
        if choices and nargs is None and len("|".join(choices)) <= 30:
            value = "|".join(choices)
        text = f"{each.flags[-1]} {value}".strip()
        return text if each.options.get("required") else f"[{text}]"
    return {None: value, "...": value, "?": f"[{value}]", "*": f"[{value} ...]"}.get(nargs, f"{value} ...")


def _item(name: str, text: str, columns: int) -> Iterator[str]:
    """Name and text in two columns; under each other where the name is too long for that."""
    lines = textwrap.wrap(text, max(20, columns - MARGIN - 2), break_on_hyphens=False) or [""]
    if len(name) > MARGIN - 4:
        yield f"  {name}"
    else:
        yield f"  {name:<{MARGIN - 2}}{lines.pop(0)}".rstrip()
    yield from (" " * MARGIN + line for line in lines)
