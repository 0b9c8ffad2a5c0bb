"""`qslice setup --bundle FILE`: an archive of everything that a bare machine needs (scripts/setup/offline.sh uses it).

Debian's packages are those of the lists with all that they depend on, as apt chooses for a machine that has nothing;
apt checks their signatures here, and the archive's own hashes are checked there. Python's are the pinned ones.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console.output import say
from scripts.console.progress import Progress
from scripts.errors import CommandError, DidNotHold, EnvironmentLacks, WrongRequest
from scripts.files.results import new_file
from scripts.setup.version import version_of
from scripts.testbed.paths import REPOSITORY

FORMAT = 1
PLACE = Path("/var/tmp")  # noqa: S108 - a fresh folder in it, of a name that nobody can have planted
SETUP = REPOSITORY / "scripts/setup"
_KEPT_LINES = 15


@dataclass(frozen=True)
class DebianPackage:
    """A .deb file: its control fields as dpkg-deb prints them, and what apt has to know of the file."""

    control: str
    file: str
    size: int
    sha256: str

    def field(self, name: str) -> str:
        """Raises KeyError."""
        found = re.search(rf"^{name}: (.+)$", self.control, re.MULTILINE)
        if found is None:
            raise KeyError(f"{self.file} has no field {name}")
        return found[1]

    @property
    def stanza(self) -> str:
        """Its entry in an index of packages (deb-src(5) calls it Packages)."""
        return f"{self.control.rstrip()}\nFilename: ./{self.file}\nSize: {self.size}\nSHA256: {self.sha256}\n"


def plain_name(file: str) -> str:
    """A file name without what a URL writes otherwise: the colon of an epoch comes as ``%3a`` from apt."""
    return file.replace("%3a", "-").replace(":", "-")


def packages_index(packages: Iterable[DebianPackage]) -> str:
    """The index that apt reads."""
    return "\n".join(package.stanza for package in sorted(packages, key=lambda p: p.file))


def manifest(values: Mapping[str, str], packages: Iterable[DebianPackage], wheels: Iterable[str]) -> str:
    """A name and a value in each line; values of one line each."""
    lines = [f"{name} {value}" for name, value in values.items()]
    lines += [f"debian {p.field('Package')} {p.field('Version')} {p.field('Architecture')}" for p in packages]
    lines += [f"wheel {wheel}" for wheel in sorted(wheels)]
    return "\n".join(lines) + "\n"


def without(requirements: str, name: str) -> str:
    """A file of pinned requirements without one of them and its hashes."""
    return re.sub(rf"^{name}==(?:.*\\\n)*.*\n", "", requirements, flags=re.MULTILINE)


def only(requirements: str, name: str) -> str:
    """That one alone; empty where it is not there."""
    found = re.search(rf"^{name}==(?:.*\\\n)*.*\n", requirements, re.MULTILINE)
    return "" if found is None else found[0]


def listed(text: str) -> list[str]:
    """The names in a list of Debian packages, without comments."""
    return [name for line in text.splitlines() if (name := line.partition("#")[0].strip())]


class Maker:
    """Makes one bundle in a folder."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder, self._progress = folder, progress

    def make(self, file: Path, pins: str) -> tuple[int, int]:
        """Write the archive; how many Debian and Python packages are in it. Raises CommandError."""
        content = self._folder / "content"
        (content / "debian").mkdir(parents=True)
        (content / "wheels").mkdir()
        packages = self._debian(content / "debian")
        wheels = self._wheels(content / "wheels")
        told = platform.freedesktop_os_release()
        values = {
            "format": str(FORMAT),
            "release": told.get("VERSION_CODENAME", ""),
            "version": (Path("/etc/debian_version").read_text(encoding="utf-8").strip()),
            "architecture": self._run(["dpkg", "--print-architecture"]).strip(),
            "python": platform.python_version(),
            "qslice": str(version_of()),
            "pins": pins,
        }
        (content / "manifest").write_text(manifest(values, packages, wheels), encoding="utf-8")
        self._progress.note("writing the archive")
        names = sorted(str(path.relative_to(content)) for path in content.rglob("*") if path.is_file())
        sums = "".join(f"{_sha256(content / name)}  {name}\n" for name in names)
        (content / "SHA256SUMS").write_text(sums, encoding="utf-8")
        with new_file(file) as new, tarfile.open(new, "w") as tar:
            for name in ("manifest", "SHA256SUMS", "debian", "wheels"):
                tar.add(content / name, arcname=name, filter=_anybodys)
        return len(packages), len(wheels)

    def _debian(self, target: Path) -> list[DebianPackage]:
        names = listed((SETUP / "debian-packages.txt").read_text(encoding="utf-8"))
        nothing, archives = self._folder / "status", self._folder / "archives"
        nothing.touch()
        (archives / "partial").mkdir(parents=True)
        self._progress.note("reading the Debian package index")
        self._run(["apt-get", "--quiet", "update"], is_needed=False)  # a source of somebody else's may be broken
        self._progress.note(f"fetching {len(names)} Debian packages and what they depend on")
        options = {
            "Dir::State::status": nothing, "Dir::Cache::archives": archives, "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "", "APT::Sandbox::User": "root", "Debug::NoLocking": "true",
            "Acquire::Retries": "3",
        }  # fmt: skip
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        fetch = ["apt-get", "--quiet", "--yes", "--download-only", "--no-install-recommends", *given, "install", *names]
        self._run(fetch)
        packages = [self._package(path, target) for path in sorted(archives.glob("*.deb"))]
        (target / "Packages").write_text(packages_index(packages), encoding="utf-8")
        return packages

    def _package(self, path: Path, target: Path) -> DebianPackage:
        moved = target / plain_name(path.name)
        shutil.move(path, moved)
        control = self._run(["dpkg-deb", "--field", str(moved)])
        return DebianPackage(control, moved.name, moved.stat().st_size, _sha256(moved))

    def _wheels(self, target: Path) -> list[str]:
        """The pinned packages; Ryu comes as source, as everywhere (docs/decisions/0001)."""
        pinned = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
        parts = {
            "build-tools": ((SETUP / "build-tools.txt").read_text(encoding="utf-8"), "--only-binary", ":all:"),
            "ryu": (only(pinned, "ryu"), "--no-binary", "ryu", "--no-build-isolation"),
            "wheels": (without(pinned, "ryu"), "--only-binary", ":all:"),
        }
        for name, (requirements, *how) in parts.items():
            self._progress.note(f"fetching Python packages: {name}")
            listing = self._folder / f"{name}.txt"
            listing.write_text(requirements, encoding="utf-8")
            download = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
            self._run([*download, "--quiet", "--no-deps", "--require-hashes", "--dest", str(target), *how,
                       "--requirement", str(listing)])  # fmt: skip
        return [path.name for path in target.iterdir()]

    def _run(self, command: Sequence[str], *, is_needed: bool = True) -> str:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PIP_USER": "0"}
        environment.pop("PYTHONSAFEPATH", None)  # building Ryu needs the current directory on the path
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            cwd=self._folder, check=False,
        )  # fmt: skip
        if done.returncode != 0 and is_needed:
            end = "\n".join("    " + line for line in (done.stdout + done.stderr).splitlines()[-_KEPT_LINES:])
            raise DidNotHold(f"{' '.join(command[:4])} ... ended with status {done.returncode}:\n{end}")
        return done.stdout


def _anybodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Called by the launcher with the file and the hash of what is pinned."""
    parser = argparse.ArgumentParser(prog="qslice setup --bundle")
    parser.add_argument("file", type=Path)
    parser.add_argument("pins")
    options = parser.parse_args(argv)
    try:
        if not options.file.parent.is_dir():
            raise WrongRequest(f"setup: --bundle: there is no folder {options.file.parent}")
        with Progress("setup --bundle") as progress, tempfile.TemporaryDirectory(dir=PLACE) as folder:
            debian, python = Maker(Path(folder), progress).make(options.file, options.pins)
    except CommandError as error:
        print(f"qslice: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"qslice: setup: --bundle: {error}", file=sys.stderr)
        return EnvironmentLacks.exit_status
    size_mb = options.file.stat().st_size / 1e6
    say(f"{options.file}: {debian} Debian and {python} Python packages, {size_mb:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
