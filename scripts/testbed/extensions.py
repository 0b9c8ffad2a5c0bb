"""The extensions of a run: which, on what terms, and who they said they are before anything was started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scripts.extensions.loading import Identity
from scripts.extensions.naming import Use
from scripts.extensions.protocols import Kind

OF_CONTROLLER = (Kind.PCE, Kind.HEALING)
OF_NETWORK = (*OF_CONTROLLER, Kind.SOURCE, Kind.QKD, Kind.SUITE)
OF_SCENARIO = (Kind.FAULT, Kind.STEP, Kind.METRIC)


@dataclass(frozen=True)
class Chosen:
    """An extension that somebody has named, and who it is."""

    use: Use
    identity: Identity


@dataclass(frozen=True)
class InForce:
    """All of a run. ``on_failure`` and ``deadline_s`` (None: each kind's own) are the terms on which they are asked."""

    chosen: tuple[Chosen, ...] = ()
    on_failure: str = "reject"
    deadline_s: float | None = None
    is_audited: bool = True
    source_level: str = "qra"
    """At which level the keys of a source serve: the operator says so, whatever it says of itself."""
    qkd_sections: tuple[str, ...] | None = None
    """Whose key the extension ``qkd`` makes; None: of all sections."""
    qkd_vouched: bool = False
    """Whether the operator vouches that it is secret."""

    def of(self, *kinds: Kind) -> tuple[Chosen, ...]:
        return tuple(one for one in self.chosen if one.use.kind in kinds)

    @property
    def identities(self) -> tuple[Identity, ...]:
        return tuple(one.identity for one in self.chosen)

    @property
    def name(self) -> str:
        """Of an arm of a comparison."""
        return ", ".join(f"{one.use.kind.value} {one.identity.name}" for one in self.of(*OF_CONTROLLER)) or "builtin"

    def controller_part(self) -> dict[str, Any]:
        """``extensions`` of the controller's configuration file."""
        terms = {"on_failure": self.on_failure, "deadline_s": self.deadline_s}
        parts = {
            one.use.kind.value: {"target": one.use.target, "folder": one.use.folder, **terms}
            for one in self.of(*OF_CONTROLLER)
        }
        suites = [one.identity.name for one in self.of(Kind.SUITE)]
        return {**parts, "suite": suites[0] if suites else None, "unsafe_no_audit": not self.is_audited}

    def kms_part(self) -> dict[str, Any]:
        """``source_extension`` and ``qkd_extension`` of the KMS' configuration file."""
        terms: dict[Kind, dict[str, Any]] = {
            Kind.SOURCE: {"level": self.source_level},
            Kind.QKD: {"sections": self.qkd_sections, "is_vouched": self.qkd_vouched},
        }
        return {
            f"{kind.value}_extension": {
                "target": one.use.target, "folder": one.use.folder, "deadline_s": self.deadline_s, **terms[kind],
            }
            for kind in terms for one in self.of(kind)
        }  # fmt: skip

    def agent_part(self) -> dict[str, Any] | None:
        """``suite_extension`` of the agents' configuration files."""
        for one in self.of(Kind.SUITE):
            return {"target": one.use.target, "folder": one.use.folder, "sha256": one.identity.sha256}
        return None

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`from_dict` reads it."""
        return {
            "chosen": [
                {
                    "kind": one.use.kind.value, "target": one.use.target, "folder": one.use.folder,
                    "identity": asdict(one.identity),
                }
                for one in self.chosen
            ],
            "on_failure": self.on_failure, "deadline_s": self.deadline_s, "is_audited": self.is_audited,
            "source_level": self.source_level, "qkd_sections": self.qkd_sections, "qkd_vouched": self.qkd_vouched,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> InForce:
        chosen = []
        for one in raw["chosen"]:
            said = one["identity"]
            identity = Identity(**{**said, "texts": tuple((a, b) for a, b in said["texts"])})
            chosen.append(Chosen(Use(Kind(one["kind"]), one["target"], one["folder"]), identity))
        sections = raw["qkd_sections"]
        return cls(
            tuple(chosen), raw["on_failure"], raw["deadline_s"], raw["is_audited"], raw["source_level"],
            None if sections is None else tuple(sections), raw["qkd_vouched"],
        )  # fmt: skip


NO_EXTENSIONS = InForce()
