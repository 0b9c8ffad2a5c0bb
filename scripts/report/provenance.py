"""Where results come from: which QSlice, on which machine, with which seed, settings and extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from scripts.configuration.values import Configuration
from scripts.setup.machine import describe_machine, describe_versions
from scripts.setup.version import version_of

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Extension:
    """A part that is not ours: its kind, its name and version, and what its source hashes to (SHA-256, hexadecimal)."""

    kind: str
    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """What stands in every file of results under ``provenance``."""

    version: str
    commit: str
    tree: str
    """``clean``, ``changed`` (not what the commit says), or ``unknown``."""
    started_at: str
    """RFC 3339, UTC."""
    seed: int | None
    """Of every random choice; None where none is drawn from one."""
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    extensions: tuple[Extension, ...] = ()
    configuration: dict[str, Any] = field(default_factory=dict)
    """The settings that were not at their defaults."""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "extensions": [asdict(each) for each in self.extensions]}


def sentence(told: Mapping[str, Any]) -> str:
    """What :meth:`Provenance.to_dict` has, for people: in a report."""
    changed = {"changed": ", with changes", UNKNOWN: ", changes unknown"}.get(told["tree"], "")
    machine = told["machine"]
    settings = ", ".join(f"{name}={value}" for name, value in told["configuration"].items())
    return (
        f"QSlice {told['version']}, commit {told['commit'][:12]}{changed}; {told['started_at']}; {machine['system']}, "
        f"Linux {machine['kernel']}, {machine['processors']} processors, {machine['memory_gb']} GB"
        + (f"; settings: {settings}" if settings else "")
        + "".join(f"; extension {each['kind']} {each['name']} {each['version']}" for each in told["extensions"])
    )


def provenance(
    configuration: Configuration, seed: int | None = None, extensions: Sequence[Extension] = ()
) -> Provenance:
    """That of a run which begins now."""
    found = version_of()
    tree = {True: "changed", False: "clean", None: UNKNOWN}[found.is_modified]
    return Provenance(
        found.version, found.commit or UNKNOWN, tree, datetime.now(UTC).isoformat(timespec="seconds"), seed,
        describe_machine(), describe_versions(), tuple(extensions), configuration.differing(),
    )  # fmt: skip
