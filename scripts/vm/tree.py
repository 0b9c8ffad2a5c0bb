"""This checkout as the guest gets it: an archive without what machines make, as Vagrant's rsync leaves it out."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

# The Vagrantfile's rsync__exclude, and what no test needs.
EXCLUDED = frozenset(
    {".venv", ".state", ".liboqs", "results", ".vagrant", ".git", ".hypothesis", ".import_linter_cache", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache"}
)

# What the guest's file system is made from: with another one of these it is made anew.
INGREDIENTS = (
    "constraints.txt",
    "pyproject.toml",
    "scripts/setup/build-tools.txt",
    "scripts/setup/debian-packages.txt",
    "scripts/setup/debian-packages-test.txt",
    "scripts/setup/environment.sh",
    "scripts/setup/into-image.sh",
    "scripts/vm/build_root.sh",
    "scripts/vm/guest-boot.sh",
    "scripts/vm/qslice-guest.service",
)


JOB = ".state/vm-job.json"
"""Where the guest finds what it is to do."""


def admit(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """For :meth:`tarfile.TarFile.add`: leaves out what machines make; root owns everything else."""
    if Path(entry.name).name in EXCLUDED:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def pack(root: Path, archive: Path, job: dict[str, Any]) -> None:
    """Write the tree and the job to a tar archive; root owns everything in it."""
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=admit)
        content = json.dumps(job).encode()
        entry = tarfile.TarInfo(JOB)
        entry.size, entry.mode = len(content), 0o600
        tar.addfile(entry, io.BytesIO(content))


def image_key(root: Path) -> str:
    """Names the image that this checkout needs."""
    digest = hashlib.sha256()
    for name in INGREDIENTS:
        content = (root / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]
