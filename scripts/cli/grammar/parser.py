"""The parser that follows from the tree of commands: nothing is guessed, and every error names the command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from scripts.cli.grammar import help_text, tree
from scripts.cli.grammar.common import COMMON, PROGRAM, common_of
from scripts.cli.grammar.leaf import Argument, Leaf
from scripts.cli.grammar.values import LONGEST, shown

FEW = 8
WITH_VALUE = {flag for each in COMMON if each.takes_value for flag in each.flags}
NOTHING_GIVEN = {"json": False, "output": None, "api": None, "config": None, "verbose": False}


class WrongUsage(Exception):
    """What was typed is no command: ``path`` is how far it is one, the message says what to do."""

    exit_status = 2

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class ShownInstead(Exception):
    """Help or the version was asked for; ``text`` is it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Parser(argparse.ArgumentParser):
    """One word of the tree. It raises, and never exits."""

    def __init__(self, *, path: str = "", **options: Any) -> None:
        own = {"prog": f"{PROGRAM} {path}".strip(), "add_help": False, "allow_abbrev": False}
        super().__init__(**{**options, **own}, argument_default=argparse.SUPPRESS)
        self.path = path

    def error(self, message: str) -> NoReturn:
        """Raise it, with the command's name and where to read on."""
        raise WrongUsage(self.path, f"{_plain(message)} (see: {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            what = "command" if not self.path else "action"
            raise argparse.ArgumentError(None, f"no such {what}: {shown(str(value))}{_meant(str(value), known)}")
        meant = _meant(str(value), known) if len(known) > FEW else ""
        raise argparse.ArgumentError(action, f"{shown(str(value))} is none of {', '.join(known)}{meant}")


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        assert isinstance(parser, Parser)
        raise ShownInstead(help_text.of(parser.path))


class _Once(argparse.Action):
    """An option with a value, which may not be given a second one."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        given = namespace.__dict__.setdefault("_given", set())
        if option is not None and self.dest in given:
            raise argparse.ArgumentError(self, "given twice: give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, _value(self, values))


class _Often(argparse.Action):
    """An option that may be given several times; its values are a list."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), _value(self, values)])


def _value(action: argparse.Action, values: Any) -> Any:
    """What was given; argparse leaves ``--`` out, wherever it stands."""
    if values == []:
        raise argparse.ArgumentError(action, "'--' is no value")
    return values


def build_parser(command: str | None = None) -> Parser:
    """The parser of one command; of all of them if none, or one that is not there, is named."""
    root = Parser()
    _add(root, COMMON)
    _add_help(root)
    root.add_argument("--version", action="store_true", help=argparse.SUPPRESS)
    places: dict[str, Any] = {"": root.add_subparsers(dest="_word", metavar="COMMAND", parser_class=Parser)}
    for leaf in tree.leaves(command):
        for path in leaf.paths:
            if command in tree.COMMANDS and path.split()[0] != command:
                continue
            group, _, word = path.rpartition(" ")
            if group not in places:
                parent = places[""].add_parser(group, path=group)
                _add(parent, COMMON)
                _add_help(parent)
                places[group] = parent.add_subparsers(dest="_word", metavar="ACTION", parser_class=Parser)
                places[group].required = True
            _fill(places[group].add_parser(word, path=path), leaf, path)
    return root


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for, with ``leaf``, ``path`` and every argument. Raises WrongUsage or ShownInstead."""
    words = list(words)
    parser = build_parser(command_word(words))
    namespace, rest = parser.parse_known_args(words)
    values = {**NOTHING_GIVEN, **vars(namespace)}
    leaf: Leaf | None = values.pop("leaf", None)
    if leaf is None:
        if values.get("version"):
            leaf, values["path"] = tree.find("version"), "version"
        else:
            parser.error("COMMAND is missing: there are " + ", ".join(tree.COMMANDS))
    assert leaf is not None
    if rest and not leaf.passes_on:
        _refuse(leaf, values["path"], rest)
    for each in leaf.arguments:
        values.setdefault(_dest(each), each.options.get("default", False if not each.takes_value else None))
    if values["json"] and values["output"] not in (None, "json"):
        raise WrongUsage(values["path"], f"--json and -o {values['output']}: give one of them")
    values["output"] = "json" if values["json"] else values["output"] or "table"
    values["json"] = values["output"] != "table"
    if values["output"] == "name" and leaf.name_of is None:
        raise WrongUsage(values["path"], "-o name: there are no names in its result; take table, json or yaml")
    given = {name: value for name, value in values.items() if not name.startswith("_")}
    return argparse.Namespace(**given, leaf=leaf, rest=rest)


def command_word(words: Sequence[str]) -> str | None:
    """The command among what stands before its own arguments; None where there is none."""
    rest = iter(words)
    for word in rest:
        if word in WITH_VALUE:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return None


def wants_json(words: Iterable[str]) -> bool:
    """Whether JSON is asked for in words that cannot be parsed: an error is told so, too."""
    before = ""
    for word in words:
        if word == "--":
            return False
        if word in ("--json", "-ojson", "--output=json") or (before in ("-o", "--output") and word == "json"):
            return True
        before = word
    return False


def _fill(parser: Parser, leaf: Leaf, path: str) -> None:
    _add(parser, leaf.arguments)
    _add(parser, common_of(leaf))
    _add_help(parser)
    parser.set_defaults(leaf=leaf, path=path)


def _add(parser: Parser, arguments: Iterable[Argument]) -> None:
    for each in arguments:
        options: dict[str, Any] = {name: value for name, value in each.options.items() if name != "default"}
        if each.is_option:
            options["action"] = {None: _Once, "append": _Often}.get(options.get("action"), options.get("action"))
        if each.takes_value and options.get("nargs") != "...":
            options["type"] = _not_empty(options.get("type", str))
        parser.add_argument(*each.flags, **options)


def _add_help(parser: Parser) -> None:
    parser.add_argument("-h", "--help", nargs=0, action=_Help, help="show this")


def _not_empty(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def converted(text: str) -> Any:
        if not text.strip():
            raise argparse.ArgumentTypeError("is empty")
        return text if text is argparse.SUPPRESS else convert(text)

    return converted


def _dest(each: Argument) -> str:
    long = next((flag for flag in each.flags if flag.startswith("--")), each.flags[0])
    return str(each.options.get("dest", long.lstrip("-").replace("-", "_")))


def _refuse(leaf: Leaf, path: str, rest: Sequence[str]) -> NoReturn:
    """Say what it has of it that comes near."""
    first = next((word for word in rest if word.startswith("-")), rest[0])
    known = [flag for each in (*leaf.arguments, *COMMON) if not each.is_hidden for flag in each.flags if flag[0] == "-"]
    if first.startswith("-") and first != "-":
        name = first.partition("=")[0]
        what = f"no such option: {shown(name)}{_meant(name, known)}"
    else:
        what = f"one argument too many: {shown(first)}"
    raise WrongUsage(path, f"{what} (see: {PROGRAM} {path} --help)")


def _meant(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word[:LONGEST], known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return "" if word.startswith("-") else f"; there are {', '.join(known)}"


def _plain(message: str) -> str:
    """As argparse says it, without its words for what a user sees anyway."""
    message = re.sub(r"^argument ", "", message)
    message = re.sub(r": ignored explicit argument (.{0,64}).*", r": takes no value, and was given \1", message)
    return re.sub(r"^the following arguments are required: ", "missing: ", message)
