"""Adapter: topologies by the name of one that is shipped, or by the path of a user's file."""

from __future__ import annotations

import os
from pathlib import Path

from topologies.files.parsing import MOST_BYTES, parse_text
from topologies.files.problems import choices
from topologies.files.scale import DEFAULT_MBPS_PER_GBPS
from topologies.files.vendors import from_folder
from topologies.spec import Topology, TopologyError

CATALOG_FOLDER = Path(__file__).resolve().parents[1] / "catalog"


def catalog_names() -> tuple[str, ...]:
    """The topologies that are shipped."""
    return tuple(sorted(path.stem for path in CATALOG_FOLDER.glob("*.yaml")))


def load_topology(
    name_or_path: str | Path, mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS, shaped: bool = True
) -> Topology:
    """The topology of that name, or in that file. TopologyError, of which ScaleError says that the scale is wrong.

    A shipped one comes before a file of the same name in the current directory, which is ``./NAME``.
    """
    path = find_topology(name_or_path)
    topology = parse_text(read_bytes(path), str(name_or_path), mbps_per_gbps, shaped)
    return from_folder(topology, str(path.absolute().parent))


def find_topology(name_or_path: str | Path) -> Path:
    """The file that is meant. TopologyError where there is none."""
    if str(name_or_path) in catalog_names():
        return CATALOG_FOLDER / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if not os.path.lexists(path):
        raise TopologyError(
            f"unknown topology {str(name_or_path)!r}: no such file, and none of {choices(catalog_names())}"
        )
    return path


def read_bytes(path: Path) -> bytes:
    """What the file holds, or as much of it as shows that it is too long. TopologyError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise TopologyError(f"{path}: cannot be read: {why}") from error
