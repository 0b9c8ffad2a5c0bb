"""Every command in the documents is one, as the command line's own parser says; those that need no network are run."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli import main as program
from scripts.cli.grammar.leaf import Needs
from scripts.cli.grammar.parser import ShownInstead, WrongUsage, parse
from scripts.testbed.paths import REPOSITORY, Layout
from tests.unit.documents.reading import DOCUMENTS, blocks, name_of

CALL = re.compile(r"^(?:sudo )?(?:scripts/)?qslice (?P<words>[^#]*)")
INLINE = re.compile(r"`(?:sudo )?(?:scripts/)?qslice ([a-z][^`]*)`")
# What was true at its time; and what is generated from the parser itself, where usage lines are no commands.
NOT_CHECKED = ("CHANGELOG.md", "docs/decisions/", "docs/reference/cli.md")
CHECKED = [document for document in DOCUMENTS if not name_of(document).startswith(NOT_CHECKED)]
# These read what is not in the documents (a file of the reader's) or what an optional package has.
READ_WHAT_IS_NOT_HERE = ("topo import", "topo validate FILE", "pki ", "kme ", "my.yaml", "g50.yaml", "=./")


def commands(document: Path) -> Iterator[str]:
    """The words after ``qslice`` of every command in a document, one that goes on in the next line in one piece."""
    text = document.read_text(encoding="utf-8")
    for block in blocks(text):
        for line in "\n".join(block).replace("\\\n", " ").splitlines():
            if found := CALL.match(line):
                yield re.split(r" \| | > | < ", found["words"])[0].strip()
    for inline in INLINE.findall(re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)):
        yield " ".join(inline.split())


def is_whole(words: str) -> bool:
    """Whether it is a command to type, and not a pattern of several (``link list|show``, ``exec HOST -- CMD ...``)."""
    return "|" not in words and "..." not in words and "[" not in words


@pytest.mark.parametrize("document", CHECKED, ids=name_of)
def test_every_command_is_one(document: Path) -> None:
    wrong = {}
    for words in filter(is_whole, commands(document)):
        try:
            parse(shlex.split(words))
        except WrongUsage as error:
            # `qslice lab` in a sentence names a group, `bench NAME` one of several.
            if not re.search(r"missing: ACTION|is missing: there are|'NAME'", str(error)):
                wrong[words] = str(error)
        except ShownInstead:
            pass
    assert wrong == {}


def runnable() -> list[tuple[Path, str]]:
    found = {}
    for document in CHECKED:
        for words in filter(is_whole, commands(document)):
            try:
                leaf = parse(shlex.split(words)).leaf
            except (WrongUsage, ShownInstead):
                continue
            is_ours = leaf.needs in (Needs.NOTHING, Needs.PYTHON) and leaf.module is not None
            if (
                is_ours
                and not any(text in words for text in READ_WHAT_IS_NOT_HERE)
                and not re.search(r"\b[A-Z]{2,}\b", words)
            ):
                found[words] = document
    return [(document, words) for words, document in found.items()]


@pytest.mark.parametrize(("document", "words"), runnable(), ids=lambda part: str(getattr(part, "name", part)))
def test_a_command_that_needs_no_network_is_run(
    document: Path, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del document
    monkeypatch.setattr(program, "Layout", lambda: Layout(tmp_path / "state", tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPOSITORY / "scripts/examples", tmp_path / "scripts/examples")
    assert program.main(shlex.split(words)) == 0
    assert capsys.readouterr().out


def test_there_are_commands_and_a_wrong_one_is_seen(tmp_path: Path) -> None:
    assert sum(1 for document in CHECKED for _ in commands(document)) > 100
    assert len(runnable()) >= 4
    text = "# A\n\n    sudo scripts/qslice slice create \\\n        x.yaml   # now\n\nand `qslice slcie list`\n"
    (tmp_path / "a.md").write_text(text)
    assert list(commands(tmp_path / "a.md")) == ["slice create      x.yaml", "slcie list"]
    with pytest.raises(WrongUsage):
        parse(["slcie", "list"])
