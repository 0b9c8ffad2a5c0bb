"""``python -m scripts.configuration``: write what is made of the table into docs/reference."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.configuration.reference import reference
from scripts.configuration.schema import json_schema

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def documents() -> dict[Path, str]:
    """The text of each generated file."""
    return {
        FOLDER / "config.md": reference(),
        FOLDER / "config.schema.json": json.dumps(json_schema(), indent=1) + "\n",
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
