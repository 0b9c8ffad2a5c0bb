"""The environment of who called scripts/qslice, which changes it for itself: for what runs inside a host."""

from __future__ import annotations

import os
from collections.abc import Mapping

_KEPT = "QSLICE_CALLER_"
_SYSTEM_DIRECTORIES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")


def callers_environment(present: Mapping[str, str] | None = None) -> dict[str, str]:
    """As it was before the launcher touched it. Only PATH has the directories of system programs as well: su(1) leaves
    them out, and root in a host wants ``ip``."""
    now = os.environ if present is None else present
    changed = set(now.get(f"{_KEPT}NAMES", "").split())
    before = {name: value for name, value in now.items() if not name.startswith(_KEPT) and name not in changed}
    before |= {name: now[_KEPT + name] for name in changed if _KEPT + name in now}
    path = before.get("PATH", os.defpath).split(os.pathsep)
    before["PATH"] = os.pathsep.join([*path, *(each for each in _SYSTEM_DIRECTORIES if each not in path)])
    return before


def callers_umask(present: Mapping[str, str] | None = None) -> int | None:
    """None where the launcher did not run."""
    text = (os.environ if present is None else present).get(f"{_KEPT}UMASK", "")
    return int(text, 8) if text else None
