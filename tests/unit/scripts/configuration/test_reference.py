"""What is generated is up to date, and what the documents name as settings are settings."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from scripts.configuration.__main__ import documents
from scripts.configuration.document import parse_file
from scripts.configuration.reference import OF_A_RUN, SECTIONS
from scripts.configuration.schema import json_schema
from scripts.configuration.table import BY_NAME, SETTINGS
from scripts.testbed.paths import REPOSITORY
from tests.support.other_values import OTHER_VALUES

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", list(documents()), ids=lambda path: Path(path).name)
def test_what_is_made_of_the_table_is_up_to_date(path: Path) -> None:
    """Write anew with: .venv/bin/python -m scripts.configuration"""
    assert path.read_text(encoding="utf-8") == documents()[path]


def test_every_section_has_its_place_in_the_reference() -> None:
    assert set(SECTIONS) == {setting.path[0] for setting in SETTINGS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(REPOSITORY)))
def test_what_documents_name_as_a_setting_can_be_set(document: Path) -> None:
    """Dotted names that begin like a section of the file; a word of the API that is no setting has no dot."""
    filled = {f"{section}.{name}" for section, (_, names) in OF_A_RUN.items() for name in names}
    groups = {".".join(s.path[:n]) for s in SETTINGS for n in range(1, len(s.path))}
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})(?:\.[a-z_]+)+)`", text))
    files = {n for n in named if n.endswith((".json", ".sock"))}
    assert not named - files - set(BY_NAME) - filled - groups


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(REPOSITORY)))
def test_variables_in_documents_are_ours(document: Path) -> None:
    known = {setting.variable for setting in SETTINGS}
    text = document.read_text(encoding="utf-8")
    assert not {v for v in re.findall(r"QSLICE_[A-Z_]+__[A-Z_]+", text) if v not in known}


def test_the_reference_tells_the_truth_of_every_setting() -> None:
    text = (REPOSITORY / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{setting.name}` |")]
        assert setting.meaning in row
        assert setting.option in row


def test_the_example_in_the_reference_is_valid() -> None:
    text = (REPOSITORY / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^    version: 1\n(?:    .*\n)+", text, re.MULTILINE)
    assert parse_file(textwrap.dedent(found), "docs/reference/config.md")


def test_the_schema_has_every_setting_and_nothing_else() -> None:
    schema = json_schema()
    json.dumps(schema)

    def leaves(properties: dict[str, dict[str, object]], prefix: str) -> set[str]:
        found = set()
        for name, each in properties.items():
            inner = each.get("properties")
            path = f"{prefix}{name}"
            found |= leaves(inner, f"{path}.") if isinstance(inner, dict) and path not in BY_NAME else {path}
        return found

    assert leaves(schema["properties"], "") == {"version", *BY_NAME}


@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_default_and_another_value_are_what_the_table_allows(name: str) -> None:
    setting = BY_NAME[name]
    assert isinstance(setting.adapter, TypeAdapter)
    assert setting.checked(setting.default) == setting.default
    assert setting.checked(OTHER_VALUES[name]) == OTHER_VALUES[name]
    assert setting.meaning.endswith(".")
