"""Which QSlice this is: the version of pyproject.toml and the commit of the checkout. The standard library alone."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Version:
    """``commit`` and ``is_modified`` are None where this is no Git checkout; ``tag`` where the commit has none."""

    version: str
    commit: str | None
    tag: str | None
    is_modified: bool | None

    def __str__(self) -> str:
        if self.commit is None:
            return f"qslice {self.version}"
        changed = ", with changes" if self.is_modified else ""
        return f"qslice {self.version} (commit {self.commit[:12]}{f', {self.tag}' if self.tag else ''}{changed})"


def version_of(root: Path = ROOT) -> Version:
    """What the checkout at ``root`` is."""
    with (root / "pyproject.toml").open("rb") as file:
        version = str(tomllib.load(file)["project"]["version"])
    commit = _git(root, "rev-parse", "HEAD") or _head(root / ".git")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return Version(version, commit, _git(root, "describe", "--tags", "--exact-match"), _is_any(commit, changes))


def _is_any(commit: str | None, changes: str | None) -> bool | None:
    return None if commit is None or changes is None else bool(changes)


def _git(root: Path, *words: str) -> str | None:
    """What Git says; None where it is not installed, or this is no checkout of its own."""
    if not (root / ".git").exists():
        return None
    # The checkout is often another user's than root: it is read, and nothing of its configuration is run.
    command = ["git", "-c", f"safe.directory={root}", "-c", "core.fsmonitor=false", "-C", str(root), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _head(git: Path) -> str | None:
    """The commit by the files alone, for machines without Git."""
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).exists():
            return (git / name).read_text(encoding="ascii").strip()
        packed = (git / "packed-refs").read_text(encoding="ascii").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, UnicodeDecodeError):
        return None
