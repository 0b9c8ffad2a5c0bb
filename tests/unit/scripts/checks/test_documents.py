"""What the documents say is what the code does."""

from __future__ import annotations

import argparse
import re
import textwrap
import xml.etree.ElementTree as ET

import pytest

from scripts.cli.main import build_parser
from scripts.report.topology_svg import standalone
from scripts.testbed.paths import REPOSITORY
from topologies.catalog import CATALOG, load
from topologies.files import parse_text, remarks

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_the_picture_of_a_topology_is_up_to_date(name: str) -> None:
    """Draw anew with: .venv/bin/python -m scripts.report.draw_topologies"""
    drawn = standalone(load(name))
    ET.fromstring(drawn)
    assert (REPOSITORY / "docs" / f"{name}.svg").read_text(encoding="utf-8") == drawn


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(REPOSITORY)))
def test_links_between_documents_lead_somewhere(document: object) -> None:
    path = REPOSITORY / str(document)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_readmes_commands_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    parser = build_parser()
    in_bash = {"setup", "test", "doctor", "python"}
    for line in re.findall(r"^    sudo scripts/qslice ([^#\n]+)", text, re.MULTILINE):
        words = line.split()
        if words[0] not in in_bash:
            parser.parse_args(words)


def test_the_launcher_lists_the_commands_that_there_are() -> None:
    usage = (REPOSITORY / "scripts" / "qslice").read_text(encoding="utf-8")
    listed = set(re.findall(r"^  ([a-z]+) ", usage.partition("USAGE'")[2].partition("\nUSAGE")[0], re.MULTILINE))
    assert listed == set(_choices(build_parser())) | {"setup", "test", "doctor", "python"}


def test_the_launcher_lists_every_action_and_every_bench() -> None:
    usage = (REPOSITORY / "scripts" / "qslice").read_text(encoding="utf-8")
    for command, parser in _choices(build_parser()).items():
        (line,) = re.findall(rf"^  {command} (.*(?:\n {{38}}.*)*)$", usage, re.MULTILINE)
        assert set(_choices(parser)) <= set(re.findall(r"[a-z]+", line)), f"the launcher's line on {command}"


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The sub-commands of a parser by name; none where it has none."""
    found = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def test_the_topology_in_the_documents_is_one() -> None:
    text = (REPOSITORY / "docs/how-to/own-network.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^    name: my-metro\n(?:    .*\n)+", text, re.MULTILINE)
    topology = parse_text(textwrap.dedent(found), "docs/how-to/own-network.md")
    assert [s.detector_efficiency for s in topology.sections] == [0.3, 0.2]
    assert remarks(topology) == ()
