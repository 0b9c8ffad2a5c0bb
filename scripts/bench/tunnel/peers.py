"""Other people's tunnels, to measure beside: Debian's packages, unpacked into a directory of their own on demand.

They are not installed: no service is started, nothing of the machine changes, and set-up does not need them.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import EnvironmentLacks

PACKAGES = {
    "wireguard-go": ("wireguard-go",),
    "openvpn": ("openvpn", "liblzo2-2", "libpkcs11-helper1"),
}
_PROGRAM = {"wireguard-go": "usr/bin/wireguard-go", "openvpn": "usr/sbin/openvpn"}
_FETCH_TIMEOUT_S = 300


@dataclass(frozen=True)
class Program:
    """A program outside of the system's directories, and the environment in which it finds its libraries."""

    path: Path
    environment: dict[str, str]
    version: str


def fetch(name: str, directory: Path) -> Program:
    """The program, unpacked under ``directory`` if it is not there yet. EnvironmentLacks when it cannot be had."""
    root = directory / name
    program = root / _PROGRAM[name]
    if not program.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=directory) as partial:
            _unpack(PACKAGES[name], Path(partial), root)
    libraries = ":".join(str(path) for path in sorted(root.glob("**/lib/*-linux-gnu")))
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries} if libraries else dict(os.environ)
    return Program(program, environment, version_of(program, environment))


def given(path: Path) -> Program:
    """A program that somebody named; EnvironmentLacks when it does not run."""
    environment = dict(os.environ)
    return Program(path.resolve(), environment, version_of(path.resolve(), environment))


def version_of(program: Path, environment: dict[str, str]) -> str:
    """What the program says of itself; EnvironmentLacks when it does not run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, env=environment, timeout=10)
    except OSError as error:
        raise EnvironmentLacks(f"{program} does not run: {error.strerror}") from error
    found = re.search(r"(?:wireguard-go v?|OpenVPN )([0-9][0-9a-z.~-]*)", done.stdout + done.stderr)
    if found is None:
        raise EnvironmentLacks(f"{program} does not tell its version: {(done.stdout + done.stderr).strip()[:200]}")
    return found.group(1)


def _unpack(packages: tuple[str, ...], partial: Path, root: Path) -> None:
    argv = ["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download", *packages]
    try:
        done = subprocess.run(argv, cwd=partial, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLacks(f"apt-get download {' '.join(packages)}: {error}") from error
    archives = sorted(partial.glob("*.deb"))
    if done.returncode or len(archives) != len(packages):
        reason = (done.stderr.strip().splitlines() or ["nothing came"])[-1]
        raise EnvironmentLacks(f"apt-get download {' '.join(packages)}: {reason} (apt-get update may help)")
    for archive in archives:
        subprocess.run(["dpkg-deb", "-x", archive, partial / "root"], check=True)
    try:
        (partial / "root").rename(root)
    except OSError as error:
        raise EnvironmentLacks(f"{root} holds something else ({error.strerror}): move it away") from error
