"""What a run in the guest has proved, from the files that it left."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Proof:
    """One thing that was tried. ``outcome`` is passed, failed or skipped."""

    what: str
    outcome: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class GuestReport:
    """All that `test --vm` says."""

    kernel: str
    accelerator: str
    proofs: tuple[Proof, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each part took, and ``total``; ``image`` is there only when it was made by this run."""

    @property
    def ok(self) -> bool:
        """Everything held, and there was something to hold."""
        return bool(self.proofs) and all(proof.outcome == "passed" for proof in self.proofs)

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "kernel": self.kernel,
            "accelerator": self.accelerator,
            "proofs": [asdict(proof) for proof in self.proofs],
            "seconds": self.seconds,
        }


def read_results(folder: Path, accelerator: str, seconds: dict[str, float]) -> GuestReport:
    """From the guest's archive, unpacked in ``folder``; what it did not come to do counts as failed."""
    try:
        told = json.loads((folder / "steps.json").read_text())
    except (OSError, ValueError):
        return GuestReport("unknown", accelerator, (Proof("the guest ran to its end", "failed", 0.0),), seconds)
    proofs: list[Proof] = []
    for step in told["steps"]:
        if step["step"] == "boot":
            continue  # it took time and proves nothing by itself
        if step["step"] == "tests":
            proofs += _tests(folder / "junit.xml", step)
        elif step["step"] == "demo":
            proofs.append(_demo(folder / "demo/report.json", step))
        elif step["step"] == "scale":
            proofs.append(_scale(folder / "scale.json", step))
        else:
            proofs.append(_step(step))
    parts = {step["step"]: float(step["seconds"]) for step in told["steps"]}
    return GuestReport(told["kernel"], accelerator, tuple(proofs), seconds | parts)


def as_text(report: GuestReport) -> str:
    """For a person: a line for each thing, and the verdict."""
    marks = {"passed": "ok", "failed": "FAILED", "skipped": "SKIPPED"}
    lines = [f"In a guest with Debian 12, kernel {report.kernel} (QEMU, {report.accelerator}):", ""]
    for proof in report.proofs:
        lines.append(f"  {marks[proof.outcome]:8}{proof.seconds:7.1f} s  {proof.what}")
        lines += [f"                    {line}" for line in proof.detail.splitlines()]
    held = sum(proof.outcome == "passed" for proof in report.proofs)
    lines += ["", f"{held} of {len(report.proofs)} held; {_times(report.seconds)}"]
    return "\n".join(lines)


def _times(seconds: dict[str, float]) -> str:
    """Seconds of each part, in the order in which they come, and of all."""
    parts = [f"{what} {seconds[name]:.0f} s" for name, what in _PARTS.items() if name in seconds]
    if "image" not in seconds:
        parts.insert(0, "image from the cache")
    return ", ".join(parts) + f"; {seconds.get('total', 0.0):.0f} s in all"


_PARTS = {
    "image": "image made from nothing",
    "boot": "boot",
    "set-up": "set-up",
    "capabilities": "doctor",
    "tests": "tests",
    "demo": "demo",
    "scale": "bench scale",
}
_WORDS = {
    "set-up": "the set-up that `vagrant up` runs makes a fresh Debian 12 ready",
    "capabilities": "the kernel has what this guest is for (`qslice doctor`)",
}


def _step(step: dict[str, Any]) -> Proof:
    missing = step.get("missing", [])
    is_good = step["status"] == 0 and not missing
    detail = f"missing: {', '.join(missing)}" if missing else "" if is_good else f"exit status {step['status']}"
    what = _WORDS.get(step["step"], step["step"])
    return Proof(what, "passed" if is_good else "failed", step["seconds"], detail)


def _demo(document: Path, step: dict[str, Any]) -> Proof:
    what = f"`{'; '.join(step.get('typed', []))}`, as README has it typed, on Open vSwitch's kernel datapath"
    try:
        report = json.loads(document.read_text())
        checks, slowness = report["checks"], report.get("slowness", 1.0)
    except (OSError, ValueError, KeyError):
        return Proof(what, "failed", step["seconds"], f"exit status {step['status']}, no report")
    failed = [f"{check['name']}: {check.get('detail', '')}" for check in checks if not check["ok"]]
    what += f": {len(checks) - len(failed)} of {len(checks)} checks"
    if slowness > 1:
        what += f" (loads and limits of time for processors {slowness:g} times as slow as real ones)"
    is_good = step["status"] == 0 and not failed
    return Proof(what, "passed" if is_good else "failed", step["seconds"], "\n".join(failed))


def _scale(document: Path, step: dict[str, Any]) -> Proof:
    """Each network came up, gave slices, healed one and went; its figures stand beside."""
    what = "networks of many sites in the guest's memory (`bench scale`)"
    if step.get("slowness", 1.0) > 1:
        what += f" (waits for processors {step['slowness']:g} times as slow as real ones)"
    try:
        figures = json.loads(document.read_text())["figures"]
        sizes = sorted(int(name.split(".")[0].removeprefix("sites_")) for name in figures if name.endswith(".channels"))
        told = [_size(n, figures) for n in sizes]
    except (OSError, ValueError, KeyError, TypeError):
        return Proof(what, "failed", step["seconds"], f"exit status {step['status']}, no figures")
    return Proof(what, "passed" if step["status"] == 0 and told else "failed", step["seconds"], "\n".join(told))


def _size(sites: int, figures: dict[str, float]) -> str:
    names = ("up_s", "memory_mb", "machine_mb", "set_up_ms.p50", "down_s")
    of = {name: figures[f"sites_{sites}.{name}"] for name in names}
    return (
        f"{sites} sites: up in {of['up_s']:.1f} s, {of['memory_mb']:.0f} MB "
        f"(of the guest's {of['machine_mb']:.0f} MB), a slice in {of['set_up_ms.p50']:.0f} ms (p50), "
        f"down in {of['down_s']:.1f} s, nothing left"
    )


def _tests(document: Path, step: dict[str, Any]) -> list[Proof]:
    """Each test by what it says it proves (tests/conftest.py puts that into the report)."""
    try:
        cases = list(ET.parse(document).getroot().iter("testcase"))  # noqa: S314 - the guest's own pytest wrote it
    except (OSError, ET.ParseError):
        return [Proof("the kernel data path's tests", "failed", step["seconds"], "pytest did not come to an end")]
    proofs = [_case(case) for case in cases]
    return proofs or [Proof("the kernel data path's tests", "failed", step["seconds"], "no test was selected")]


def _case(case: ET.Element) -> Proof:
    named = [entry.get("value", "") for entry in case.iter("property") if entry.get("name") == "proves"]
    what = named[0] if named else case.get("name", "").removeprefix("test_").replace("_", " ")
    seconds = float(case.get("time", "0"))
    for tag, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            return Proof(
                what, outcome, seconds, found.get("message", "").splitlines()[0] if found.get("message") else ""
            )
    return Proof(what, "passed", seconds)
