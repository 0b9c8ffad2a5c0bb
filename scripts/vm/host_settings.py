"""Where this machine gets Debian and Python packages: the guest's file system is made from the same places.

Read from apt and pip themselves, so that every mirror, proxy and time-out that is set on this machine holds, wherever
it is set. Nothing of it stays in the guest.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import EnvironmentLacks
from scripts.setup.capabilities import Run, run_command

SUITE = "bookworm"
PLACE_OF_FILES = "/run/qslice-host/files"
_TARGET_FORMAT = "$(SITE)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)"
_APT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Retries", "Acquire::Check-")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")


@dataclass(frozen=True)
class HostSettings:
    """What the builder is told."""

    mirror: str
    """Where the base system comes from."""
    sources: tuple[str, ...]
    """Lines of sources.list."""
    apt_options: tuple[str, ...]
    """Lines of apt.conf."""
    environment: Mapping[str, str]
    """pip's settings and the proxies, as variables."""
    directories: tuple[Path, ...]
    """Local directories that pip takes packages from."""
    file_directories: tuple[Path, ...] = ()
    """Those of files that pip's settings name (a constraint, a certificate); the N-th is seen as PLACE_OF_FILES/N."""


def read_host_settings(environment: Mapping[str, str], run: Run = run_command) -> HostSettings:
    """EnvironmentLacks where apt knows no mirror of Debian 12."""
    sites = debian_sites(run(["apt-get", "indextargets", "--format", _TARGET_FORMAT]).output)
    if SUITE not in sites:
        raise EnvironmentLacks(f"apt on this machine knows no mirror of Debian 12 ({SUITE}, main): see /etc/apt")
    options = tuple(
        line
        for line in run(["apt-config", "dump"]).output.splitlines()
        if line.startswith(_APT_OPTIONS) and '"' in line
    )
    settings = {name: value for name, value in environment.items() if name.startswith("PIP_")}
    settings |= pip_variables(run(["/usr/bin/python3", "-m", "pip", "config", "list"]).output)
    settings, file_directories = files_in_the_guest(settings)
    proxies = {name: value for name, value in environment.items() if name.lower() in _PROXIES}
    proxies |= {name: value for name, value in apt_proxies(options).items() if name not in proxies}
    return HostSettings(
        mirror=sites[SUITE],
        sources=tuple(f"deb {site} {release} main" for release, site in sorted(sites.items())),
        apt_options=options,
        environment={**settings, **proxies},
        directories=package_directories(settings),
        file_directories=file_directories,
    )


def files_in_the_guest(settings: Mapping[str, str]) -> tuple[dict[str, str], tuple[Path, ...]]:
    """The settings with the files that they name where the builder finds them, and the directories to show it.

    A file's directory comes with it, since a constraint may include others. pip's own configuration is in the settings
    already, so that file is not named again.
    """
    directories: dict[Path, int] = {}

    def moved(word: str) -> str:
        path = Path(word.removeprefix("file://")).absolute()
        if "://" in word.removeprefix("file://") or not path.is_file():
            return word
        number = directories.setdefault(path.parent, len(directories))
        return f"{PLACE_OF_FILES}/{number}/{path.name}"

    inside = {
        name: " ".join(moved(word) for word in value.split())
        for name, value in settings.items()
        if name not in ("PIP_CONFIG_FILE", "PIP_LOG", "PIP_CACHE_DIR")
    }
    return inside, tuple(directories)


def debian_sites(targets: str) -> dict[str, str]:
    """The mirror of each suite of Debian 12, from `apt-get indextargets`."""
    sites: dict[str, str] = {}
    for line in targets.splitlines():
        site, _, rest = line.partition("|")
        if rest in {f"{release}|main|Packages" for release in (SUITE, f"{SUITE}-updates", f"{SUITE}-security")}:
            sites.setdefault(rest.partition("|")[0], site)
    return sites


def pip_variables(listing: str) -> dict[str, str]:
    """pip's configuration files as the variables that say the same, from `pip config list`."""
    variables = {}
    for line in listing.splitlines():
        name, separator, value = line.partition("=")
        scope, _, key = name.partition(".")
        if separator and scope in {"global", "install"}:
            # Printed as a Python string; several values are separated by blanks or lines.
            words = shlex.split(value)
            variables["PIP_" + key.upper().replace("-", "_")] = " ".join(" ".join(words).replace("\\n", " ").split())
    return variables


def apt_proxies(options: tuple[str, ...]) -> dict[str, str]:
    """debootstrap asks wget, which reads variables, for what apt has as an option."""
    found = {}
    for line in options:
        name, _, value = line.rstrip(";").partition(" ")
        for scheme in ("http", "https"):
            if name == f"Acquire::{scheme}::Proxy" and value.strip('"') not in {"", "DIRECT"}:
                found[f"{scheme}_proxy"] = value.strip('"')
    return found


def package_directories(variables: Mapping[str, str]) -> tuple[Path, ...]:
    """Directories on this machine among the places that pip is told to look at, and no directory of the system."""
    places = " ".join(variables.get(name, "") for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"))
    paths = [Path(place.removeprefix("file://")) for place in places.split() if place.startswith(("/", "file:///"))]
    # An index refers to files beside itself ("../../files/"): its parent is what has to be seen.
    wanted = [path.parent if path.name == "simple" else path for path in paths]
    return tuple(path for path in dict.fromkeys(wanted) if path.is_dir() and len(path.parts) > 2)


def builder_environment(settings: HostSettings) -> dict[str, str]:
    """What the builder's processes see: this machine's package settings and nothing else of the caller's."""
    return {
        "PATH": os.defpath + ":/usr/sbin:/sbin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **settings.environment,
    }
