"""What a conformance check came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from scripts.extensions.loading import Identity


@dataclass(frozen=True)
class Check:
    """One thing that an extension must do. ``detail`` says what it did."""

    name: str
    ok: bool
    detail: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Report:
    """All checks of one extension."""

    target: str
    identity: Identity | None = None
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def add(self, name: str, ok: bool, detail: str) -> None:
        self.checks.append(Check(name, ok, detail))

    def to_dict(self) -> dict[str, Any]:
        return {
            "extension": self.target, "identity": None if self.identity is None else self.identity.to_dict(),
            "ok": self.ok, "checks": [check.to_dict() for check in self.checks],
        }  # fmt: skip


class Tally:
    """Answers to many questions of one sort: how many would do, and what was wrong with the first that would not."""

    def __init__(self) -> None:
        self.asked = 0
        self.wrong: list[str] = []

    def good(self) -> None:
        self.asked += 1

    def bad(self, what: str) -> None:
        self.asked += 1
        self.wrong.append(what)

    def into(self, report: Report, name: str) -> None:
        """Its check in the report."""
        if self.wrong:
            report.add(name, False, f"{len(self.wrong)} of {self.asked}; the first: {self.wrong[0]}")
        else:
            report.add(name, True, f"{self.asked} of {self.asked}")
