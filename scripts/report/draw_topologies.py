"""Draw the catalogued topologies for the documents: ``.venv/bin/python -m scripts.report.draw_topologies``."""

from __future__ import annotations

from scripts.report.topology_svg import standalone
from scripts.testbed.paths import REPOSITORY
from topologies.catalog import load

SHOWN = ("ukqntel", "metro-ring", "uk-east")  # the others of the catalogue look like ukqntel


def main() -> None:
    """Write ``docs/NAME.svg`` for every topology that the documents show."""
    for name in SHOWN:
        (REPOSITORY / "docs" / f"{name}.svg").write_text(standalone(load(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
