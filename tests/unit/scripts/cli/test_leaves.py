"""Every command there is, from the tree that declares them: help, examples, and how wrong words are refused."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli import main as program
from scripts.cli.grammar import tree
from scripts.cli.grammar.leaf import Argument, Leaf, Needs
from scripts.cli.grammar.parser import WrongUsage, parse
from scripts.testbed.paths import Layout
from tests.support.bare_machine import BareMachine

LEAVES = tuple(tree.leaves())
PATHS = [(path, leaf) for leaf in LEAVES for path in leaf.paths]
ABSURD = ("-1", "0", "nan", "1e400", "9" * 5000, "é", "\x1b[31m", "../../etc/passwd", "a b", "x" * 100_000, "--", "%s")
MOST_SAID = 1500
# They would start something, or change the machine.
# They take long or, as `down` does, look for leftovers on the whole machine, where other tests have their network.
NOT_RUN = {"up", "down", "demo", "setup", "test", "python", "doctor"} | {
    leaf.path for leaf in LEAVES if leaf.path.startswith(("bench ", "experiment run"))
}
HELP_S = 0.2


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> BareMachine:
    """Whose user is not root, and which has no .venv."""
    bare = BareMachine.make(tmp_path_factory.mktemp("machine"))
    bare.put_tool("id", "echo 1000")
    return bare


@pytest.fixture
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "Layout", lambda: Layout(tmp_path / "state", tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    for name in ("QSLICE_API", "QSLICE_TOKEN", "QSLICE_TOKEN_FILE", "QSLICE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(("path", "leaf"), PATHS, ids=[path for path, _ in PATHS])
def test_help_needs_neither_root_nor_set_up_nor_patience(machine: BareMachine, path: str, leaf: Leaf) -> None:
    before = os.times()
    done = machine.launch(*path.split(), "--help")
    after = os.times()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: qslice {path}")
    said = " ".join(done.stdout.split())
    assert leaf.sentence in said
    assert [example for example in leaf.examples if f"qslice {example}" not in said] == []
    assert f"Exit status 1: {leaf.fails}." in said
    # Of a processor, which is what it takes of a machine that has nothing else to do: this one has.
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert used_s < HELP_S
    assert not (machine.clone / ".venv").exists()


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_it_is_declared_whole(leaf: Leaf) -> None:
    assert leaf.sentence[0].isupper()
    assert leaf.sentence.endswith(".")
    assert leaf.sentence.count(". ") == 0
    for example in leaf.examples:
        asked = parse(shlex.split(example.partition(" > ")[0]))
        assert asked.leaf is leaf
    assert len(set(leaf.examples)) == 2
    assert all(each.options.get("help") or each.is_hidden for each in leaf.arguments)


@pytest.mark.parametrize("group", sorted({path.rpartition(" ")[0] for path, _ in PATHS} - {""}))
def test_a_word_with_commands_under_it(machine: BareMachine, group: str) -> None:
    done = machine.launch(group, "-h")
    assert done.returncode == 0
    under = [path.removeprefix(f"{group} ") for path, _ in PATHS if path.startswith(f"{group} ")]
    assert [word for word in under if f"\n  {word} " not in done.stdout] == []
    assert tree.about(group)
    for words in ([group], [group, "nosuch"], [group, f"{under[0]}x"]):
        assert group in refusal(words)


# -- wrong words --------------------------------------------------------------------------------------


def refusal(words: list[str]) -> str:
    """What is said of words that are no command; it is short, and says where to read on."""
    with pytest.raises(WrongUsage) as refused:
        parse(words)
    said = f"{refused.value.path}: {refused.value}"
    assert len(said) < MOST_SAID
    assert "\x1b" not in said
    assert "--help)" in said or "give one of them" in said or "take table" in said
    return said


def whole(leaf: Leaf) -> list[str]:
    """Words that are the command, with what it cannot be without."""
    words = leaf.path.split()
    for each in leaf.arguments:
        if each.is_option and each.options.get("required"):
            words += [each.flags[0], good(each)]
    return words + [good(each) for each in leaf.arguments if not each.is_option and each.options.get("nargs") is None]


def good(each: Argument) -> str:
    return str(each.options["choices"][0]) if "choices" in each.options else "7"


def wrong_words(leaf: Leaf) -> Iterator[tuple[str, list[str], str]]:
    """What is wrong, the words, and what has to be said."""
    words, places = whole(leaf), [each for each in leaf.arguments if not each.is_option]
    required = [each for each in places if each.options.get("nargs") is None]
    if required:
        yield "missing", words[: -len(required)], "missing: "
    takes_more = leaf.passes_on or any(each.options.get("nargs") is not None for each in places)
    if not takes_more:
        yield "extra", [*words, "extra"], "one argument too many: 'extra'"
    for n, _ in enumerate(required):
        at = len(words) - len(required) + n
        yield "empty", [*words[:at], "", *words[at + 1 :]], "is empty"
    if not leaf.passes_on:
        before = leaf.path.split() if takes_more else words
        yield "unknown", [*before, "--no-such-option"], ""
    for each in leaf.arguments:
        if not each.is_option or each.is_hidden or leaf.passes_on:
            continue
        flag, first = each.flags[-1], [*leaf.path.split()]
        rest = words[len(first) :]
        if len(flag) > 4:
            yield "misspelt", [*first, f"{flag}x", *rest], f"did you mean {flag}?" if not rest else ""
            yield "shortened", [*first, flag[:-1], *rest], ""
        if not each.takes_value:
            yield "value", [*first, f"{flag}=x", *rest], "takes no value"
            continue
        yield "without value", [*first, *rest, flag], "expected" if each.options.get("nargs") != "?" else ""
        yield "empty value", [*first, f"{flag}=", *rest], "is empty"
        if each.options.get("action") != "append":
            twice = [flag, good(each), flag, good(each)]
            yield "twice", [*first, *twice, *(rest if not each.options.get("required") else [])], "given twice"
        if "choices" in each.options:
            yield "no such choice", [*first, flag, "nosuch", *rest], "is none of"


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_wrong_words_are_refused_by_name(leaf: Leaf, nothing_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what, words, said in wrong_words(leaf):
        if what == "without value" and not said:
            continue
        refused = refusal(words)
        assert said in refused, (what, words)
        assert refused.startswith(f"{leaf.path}: "), (what, words)
        split = len(leaf.path.split())
        assert program.main([*words[:split], "--json", *words[split:]]) == 2, (what, words)
        told = capsys.readouterr()
        document = json.loads(told.out)
        assert (document["exit_status"], document["command"]) == (2, leaf.path), (what, words)
        assert told.err == f"qslice: {refused}\n"
        assert document["error"] in refused


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_absurd_values_are_refused_or_taken_and_nothing_else(leaf: Leaf) -> None:
    for words in absurd_words(leaf):
        refused = None
        try:
            parse(words)
        except WrongUsage as error:
            refused = error
        if refused is not None:
            assert len(str(refused)) < MOST_SAID
            assert "\x1b" not in str(refused)
            assert refused.path == leaf.path


def is_taken(words: list[str]) -> bool:
    try:
        parse(words)
    except WrongUsage:
        return False
    return True


def absurd_words(leaf: Leaf) -> Iterator[list[str]]:
    first, words = leaf.path.split(), whole(leaf)
    for each in leaf.arguments:
        for value in ABSURD:
            if each.is_option and each.takes_value:
                yield [*first, f"{each.flags[-1]}={value}", *words[len(first) :]]
            elif not each.is_option:
                yield [*first, value]
                if each.options.get("nargs") is None:
                    yield [*words[:-1], value]


# -- exit statuses, where no network is up ------------------------------------------------------------

NO_NETWORK = "nothing is running"
WITHOUT_NETWORK = {
    "status": 0, "topo list": 0, "topo show": 0, "topo schema": 0, "pki revoke": 2, "pki list": 0,
    "topo validate": 2, "topo draw": 0, "topo import": 2, "topo random": 0, "pki issue": 0, "pki renew": 2,
    "pki sign": 2, "kme check": 2, "experiment list": 0, "version": 0, "completion": 0,
    "slice schema": 0, "slice template": 0, "capture": 2, "lab list": 0, "config show": 0, "config validate": 2,
    "config schema": 0,
    "extension list": 0, "extension check": 0,
}  # fmt: skip


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf.path not in NOT_RUN], ids=lambda leaf: leaf.path)
def test_exit_statuses_where_nothing_runs(leaf: Leaf, nothing_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(leaf.examples[0].partition(" > ")[0])
    if leaf.path in ("slice create",):
        words += ["--dry-run"]
    at = len(leaf.path.split())
    status = program.main([*words[:at], "--json", *words[at:]])
    told = capsys.readouterr()
    document = json.loads(told.out)
    usual = {3} if leaf.needs in (Needs.ROOT, Needs.API) else {0, 2}
    assert status in ({WITHOUT_NETWORK[leaf.path]} if leaf.path in WITHOUT_NETWORK else usual), told.err
    if status:
        assert (document["exit_status"], document["command"]) == (status, leaf.path)
        assert document["error"]
        assert told.err == f"qslice: {leaf.path}: {document['error']}\n"
    if status == 3:
        assert NO_NETWORK in document["error"]
    assert set(nothing_runs.iterdir()) <= {
        nothing_runs / name for name in ("state", "run", "alice", "ukqntel.svg", "random.yaml")
    }


@pytest.mark.parametrize(
    "leaf", [leaf for leaf in LEAVES if leaf.path not in NOT_RUN and leaf.needs in (Needs.ROOT, Needs.API)],
    ids=lambda leaf: leaf.path,
)  # fmt: skip
def test_absurd_values_end_with_a_sentence(leaf: Leaf, nothing_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in absurd_words(leaf):
        if not is_taken(words):
            continue  # as above
        at = len(leaf.path.split())
        status = program.main([*words[:at], "--json", *words[at:]])
        told = capsys.readouterr()
        assert status in (2, 3) or leaf.path in WITHOUT_NETWORK, words
        if status:
            assert json.loads(told.out)["exit_status"] == status
        assert "Traceback" not in told.err
