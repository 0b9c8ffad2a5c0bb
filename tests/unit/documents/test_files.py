"""Every YAML and JSON file in the documents is what it is shown as, by the reader that QSlice has for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.schema.slice_request import parse_slice_request
from scripts.configuration.document import parse_file
from scripts.experiments.scripted.scenario import parse_scenario
from scripts.testbed.paths import REPOSITORY
from tests.unit.documents.reading import DOCUMENTS, blocks, name_of
from topologies.derivation.rules import parse_rules
from topologies.files import parse_text
from topologies.files.located_yaml import load_located

NOT_CHECKED = ("CHANGELOG.md", "docs/decisions/")
CHECKED = [document for document in DOCUMENTS if not name_of(document).startswith(NOT_CHECKED)]
A_MAPPING = re.compile(r"^[A-Za-z_]+:( |$)")


def shown(document: Path) -> Iterator[str]:
    """Each indented block that begins as a YAML mapping does and is one, whole files and parts of them."""
    for block in blocks(document.read_text(encoding="utf-8")):
        text = "\n".join(block)
        if A_MAPPING.match(text) and "..." not in text:
            yield text


def read(text: str) -> str:
    """Read it with the reader for such a file; which that was. Raises what that raises."""
    value, _ = load_located(text)
    assert isinstance(value, dict)
    if "timeline" in value:
        parse_scenario(text, "the document")
        return "scenario"
    if "sites" in value and "name" in value:
        parse_text(text, "the document")
        return "topology"
    if "sNSSAI" in value:
        parse_slice_request(value)
        return "slice request"
    if "tiers" in value:
        parse_rules(value, "the document")
        return "rules"
    try:
        parse_file(text, "the document")
    except Exception:
        if any(name in value for name in ("controller", "kms", "tunnel", "network", "run")):
            raise
        return "part"
    return "configuration"


CASES = [(document, text) for document in CHECKED for text in shown(document)]


@pytest.mark.parametrize(("document", "text"), CASES, ids=[f"{name_of(d)}-{t.splitlines()[0]}" for d, t in CASES])
def test_every_file_is_read_by_its_reader(document: Path, text: str) -> None:
    del document
    assert read(text)


def test_there_are_files_of_each_kind_and_a_wrong_one_is_refused() -> None:
    kinds = {read(text) for _, text in CASES}
    assert {"scenario", "topology", "slice request", "rules", "configuration"} <= kinds
    (request,) = (text for _, text in CASES if text.startswith("name: app\n"))
    with pytest.raises(Exception, match="securty"):
        read(request.replace("{security: dh", "{securty: dh"))


def test_the_timeline_of_the_scenario_file_is_one() -> None:
    """It stands there without the slice that it is about."""
    text = (REPOSITORY / "docs/reference/scenario-file.md").read_text(encoding="utf-8")
    (timeline,) = (block for block in blocks(text) if block[0].startswith("- {at_s: "))
    connection = "{name: only, from: cell1, to: core1, security: dh, bandwidth_mbps: 5, latency_ms: 20}"
    request = f"{{name: plain, sNSSAI: {{sst: 1}}, connections: [{connection}]}}"
    head = f"name: shown\ntitle: t\nlook_for: l\ntopology: metro-ring\nslices: [{{request: {request}}}]\n"
    head += "traffic: [{kind: ping, rate_pps: 10}]\nduration_s: 9\ntimeline:\n"
    scenario = parse_scenario(head + "".join(f"  {line}\n" for line in timeline), "the document")
    assert len(scenario.file.timeline) == len(timeline)


def json_values(document: Path) -> Iterator[str]:
    for block in blocks(document.read_text(encoding="utf-8")):
        text = "\n".join(block)
        if text.startswith("{") and "..." not in text and "<" not in text:
            yield text


@pytest.mark.parametrize("document", CHECKED, ids=name_of)
def test_every_json_document_is_one(document: Path) -> None:
    for text in json_values(document):
        json.loads(text)


@pytest.mark.parametrize("file", sorted((REPOSITORY / "docs").rglob("*.json")), ids=lambda file: str(file.name))
def test_every_json_file_beside_the_documents_is_one(file: Path) -> None:
    found: Any = json.loads(file.read_text(encoding="utf-8"))
    assert found


@pytest.mark.parametrize("file", sorted((REPOSITORY / "scripts/examples").glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_example_is_a_request(file: Path) -> None:
    parse_slice_request(yaml.safe_load(file.read_text(encoding="utf-8")))
