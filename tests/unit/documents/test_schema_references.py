"""The references of the slice request and the topology file are those of the schemas, and every field has a meaning."""

from __future__ import annotations

import re

import pytest

from scripts.cli.schema_reference import documents, heading, reference
from scripts.testbed.paths import REPOSITORY


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_reference_is_up_to_date_and_complete(name: str) -> None:
    """Write them anew with: .venv/bin/python -m scripts.cli.schema_reference"""
    text = documents()[name]
    assert (REPOSITORY / "docs/reference" / name).read_text(encoding="utf-8") == text
    assert re.findall(r"^\| `(\w+)` .*\|  \|$", text, re.MULTILINE) == []


def test_limits_choices_and_defaults_are_shown() -> None:
    part = {
        "properties": {
            "km": {"type": "number", "minimum": 0, "maximum": 100000, "description": "How\nlong ``it`` is."},
            "way": {"enum": ["a", "b"], "default": "a"},
            "of": {"anyOf": [{"$ref": "#/$defs/QkdLinkPart"}, {"type": "null"}], "default": None},
        },
        "required": ["km"],
    }
    rows = reference(part, "# A\n", "Thing").splitlines()[-3:]
    assert rows == [
        "| `km` | number from 0 to 100,000 | required | How long `it` is. |",
        '| `way` | `a`, `b` | `"a"` |  |',
        "| `of` | [QKD link](#qkd-link) | `null` |  |",
    ]
    assert [heading(name) for name in ("SitePart", "SNssaiWire", "FibreQkdPart")] == ["Site", "S-NSSAI", "Fibre QKD"]
