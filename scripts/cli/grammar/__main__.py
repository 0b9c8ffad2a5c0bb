"""Write what is generated from the tree of commands: docs/reference/cli.md and docs/reference/qslice.1."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.manual import manual
from scripts.cli.grammar.reference import reference

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"
GENERATED = {"cli.md": reference, "qslice.1": manual}

if __name__ == "__main__":
    for name, make in GENERATED.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
