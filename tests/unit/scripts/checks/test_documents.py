"""What the documents say is what the code does."""

from __future__ import annotations

import re
import shlex
import textwrap
import xml.etree.ElementTree as ET

import pytest

from scripts.cli.grammar.parser import parse
from scripts.report.draw_topologies import SHOWN
from scripts.report.topology_svg import standalone
from scripts.testbed.paths import REPOSITORY
from topologies.catalog import load
from topologies.files import parse_text, remarks

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", SHOWN)
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
    for line in re.findall(r"^    sudo scripts/qslice ([^#\n]+)", text, re.MULTILINE):
        parse(shlex.split(line))


def test_the_topology_in_the_documents_is_one() -> None:
    text = (REPOSITORY / "docs/how-to/own-network.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^    name: my-metro\n(?:    .*\n)+", text, re.MULTILINE)
    topology = parse_text(textwrap.dedent(found), "docs/how-to/own-network.md")
    assert [s.detector_efficiency for s in topology.sections] == [0.3, 0.2]
    assert remarks(topology) == ()


def test_what_the_guide_to_vendors_equipment_shows_is_right() -> None:
    text = (REPOSITORY / "docs/how-to/vendor-device.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (?:sudo )?scripts/qslice ([^#\n]+)", text.replace("\\\n", ""), re.MULTILINE)
    assert len(commands) >= 5
    for line in commands:
        parse(shlex.split(line))
    kmes, attached = (textwrap.dedent(block) for block in re.findall(r"^    sites:\n(?:    .*\n)+", text, re.MULTILINE))
    vendor = parse_text(f"name: x\n{kmes}", "docs/how-to/vendor-device.md")
    assert vendor.vendor_link("cell1", "hub") == "vendor:cell1-hub"
    link = parse_text(f"name: x\n{attached}", "docs/how-to/vendor-device.md")
    assert link.port_of("hub", "vendors-qkd").interface == "eth2"
