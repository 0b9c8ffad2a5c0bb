"""What an archive says of itself, and what the launcher makes of it: taken where it fits, refused elsewhere."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from scripts.offline.bundle import DebianPackage, listed, manifest, only, packages_index, plain_name, without
from scripts.testbed.paths import REPOSITORY
from tests.support.bare_machine import BareMachine

CONTROL = "Package: one\nVersion: 2:1.0-1\nArchitecture: amd64\nDescription: a thing\n that is described\n"
PINNED = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")


def package(file: str = "one_2-1.0-1_amd64.deb") -> DebianPackage:
    return DebianPackage(CONTROL, file, 3, "ab")


def test_the_index_has_for_each_package_what_apt_needs() -> None:
    text = packages_index([package("b.deb"), package("a.deb")])
    assert text.split("\n\n")[0] == CONTROL.rstrip() + "\nFilename: ./a.deb\nSize: 3\nSHA256: ab"
    assert text.count("\n\n") == 1


def test_names_of_files_are_the_same_in_a_url() -> None:
    assert plain_name("one_2%3a1.0-1_amd64.deb") == "one_2-1.0-1_amd64.deb"


def test_the_manifest_names_versions_and_architectures() -> None:
    lines = manifest({"format": "1", "release": "bookworm"}, [package()], ["b.whl", "a.whl"]).splitlines()
    assert lines == ["format 1", "release bookworm", "debian one 2:1.0-1 amd64", "wheel a.whl", "wheel b.whl"]


def test_ryu_is_told_from_the_packages_that_come_as_wheels() -> None:
    assert "ryu" not in without(PINNED, "ryu").replace("via ryu", "")
    ryu = only(PINNED, "ryu")
    assert re.match(r"ryu==[\d.]+ \\\n( +--hash=sha256:\w+( \\)?\n)+$", ryu)
    assert len(without(PINNED, "ryu")) + len(ryu) == len(PINNED)
    assert only(PINNED, "nosuch") == ""


def test_lists_are_read_without_comments() -> None:
    assert listed("# all\none   # for this\n\ntwo\n") == ["one", "two"]


# --- what the launcher makes of an archive ---------------------------------------------------------------------------

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux"\nVERSION_CODENAME=bookworm\n'
OPEN = """
source "$qslice_root/scripts/setup/offline.sh"
os_release=$qslice_root/../os-release bundle_place=$qslice_root/..
dpkg() { echo amd64; }
"""


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    made = BareMachine.make(tmp_path)
    (tmp_path / "os-release").write_text(OS_RELEASE)
    return made


def pins(machine: BareMachine) -> str:
    return machine.bash(f"{OPEN} bundle_pins").stdout.strip()


def write_bundle(machine: BareMachine, *, damaged: bool = False, **values: str) -> Path:
    told = {"format": "1", "release": "bookworm", "architecture": "amd64", "qslice": "qslice 1", "pins": pins(machine)}
    content = machine.folder / "content"
    (content / "debian").mkdir(parents=True)
    (content / "wheels").mkdir()
    (content / "manifest").write_text("".join(f"{name} {value}\n" for name, value in {**told, **values}.items()))
    (content / "debian/Packages").write_text(package().stanza)
    sha256 = hashlib.sha256((content / "debian/Packages").read_bytes()).hexdigest()
    (content / "SHA256SUMS").write_text(f"{sha256}  debian/Packages\n")
    if damaged:
        (content / "debian/Packages").write_text(package().stanza.replace("ab", "cd"))
    file = machine.folder / "a bundle.tar"
    with tarfile.open(file, "w") as tar:
        for path in ("manifest", "SHA256SUMS", "debian", "wheels"):
            tar.add(content / path, arcname=path)
    return file


def open_bundle(machine: BareMachine, file: Path | str, then: str = "") -> subprocess.CompletedProcess[str]:
    return machine.bash(f"{OPEN} open_bundle '{file}'; {then}")


def test_everything_comes_from_the_bundle_and_nothing_of_it_stays(machine: BareMachine) -> None:
    file = write_bundle(machine)
    done = open_bundle(
        machine, file, 'ensure_ready; printf \'%s\\n\' "$bundle"; bundled_sources; cat "$bundle/sources.list"'
    )
    assert done.returncode == 0, done.stderr
    folder, *said = done.stdout.splitlines()
    assert f"Dir::Etc::SourceList={folder}/sources.list" in said
    assert "Dir::Etc::SourceParts=/dev/null" in said
    assert said[-1] == f"deb [trusted=yes] file:{folder}/debian ./"
    assert machine.acts()[:3] == ["dpkg", "apt-get update", "apt-get install"]
    assert not Path(folder).exists()
    assert sorted(path.name for path in machine.folder.glob("qslice-bundle.*")) == []


def test_pip_is_told_to_look_nowhere_else(machine: BareMachine) -> None:
    tell = "import os; print(*(f'{k}={v}' for k, v in sorted(os.environ.items()) if k.startswith('PIP_')), sep='\\n')"
    real = machine.bash("declare -f pip_install").stdout  # replaced on this machine: the one of the file is taken
    assert "note" in real
    code = f"""{OPEN}
source "$qslice_root/scripts/setup/environment.sh"
bundle=/b
export PIP_INDEX_URL=https://elsewhere PIP_CONSTRAINT=https://else/where
venv() {{ printf '%s' "$qslice_root/../venv"; }}
mkdir -p "$(venv)/bin"
printf '#!/bin/sh\\nexec /usr/bin/python3 -c "$TELL"\\n' >"$(venv)/bin/python"; chmod +x "$(venv)/bin/python"
TELL="{tell}" pip_install x
"""
    said = machine.bash(code).stdout.splitlines()
    assert said == ["PIP_CONFIG_FILE=/dev/null", "PIP_FIND_LINKS=/b/wheels", "PIP_NO_INDEX=1", "PIP_USER=0"]


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ({"release": "trixie"}, 3, "is for Debian 'trixie', and this machine runs 'bookworm'"),
        ({"architecture": "arm64"}, 3, "is for 'arm64' processors, and this machine has 'amd64'"),
        ({"pins": "0"}, 3, "made by another version of QSlice (qslice 1)"),
        ({"format": "2"}, 2, "a bundle of form '2'"),
    ],
)
def test_a_bundle_for_another_machine_is_refused(
    machine: BareMachine, values: dict[str, Any], status: int, reason: str
) -> None:
    done = open_bundle(machine, write_bundle(machine, **values), "ensure_ready")
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr
    assert machine.acts() == []


def test_a_damaged_bundle_is_refused(machine: BareMachine) -> None:
    done = open_bundle(machine, write_bundle(machine, damaged=True), "ensure_ready")
    assert done.returncode == 3
    assert "is damaged" in done.stderr
    assert machine.acts() == []
    assert list(machine.folder.glob("qslice-bundle.*")) == []


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"\0" * 10240])
def test_what_is_no_bundle_is_refused(machine: BareMachine, content: bytes | None) -> None:
    file = machine.folder / "file"
    if content is not None:
        file.write_bytes(content)
    done = open_bundle(machine, file, "ensure_ready")
    assert done.returncode == 2
    assert "setup: --from" in done.stderr
    assert machine.acts() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--from", "--from: name a file"),
        ("--bundle --json", "--bundle: name a file"),
        ("--bundle=", "--bundle: name a file"),
        ("--from a --bundle b", "give one of them"),
        ("--from a --liboqs", "--liboqs fetches from the internet"),
        ("--form a", "--form is not known"),
        ("a", "a is not known"),
    ],
)
def test_wrong_options_are_refused_where_no_python_can_say_so(machine: BareMachine, words: str, said: str) -> None:
    done = machine.bash(f"{OPEN} read_setup_options {words}")
    assert done.returncode == 2
    assert said in done.stderr


def test_options_are_read(machine: BareMachine) -> None:
    show = 'printf "%s|" "$bundle_to" "$bundle_from" "$wants_liboqs"'
    read = f"{OPEN} cd /; read_setup_options"
    assert machine.bash(f"{read} --json --bundle x.tar -v; {show}").stdout == "/x.tar|||"
    assert machine.bash(f"{read} -o json --from=/y/x.tar; {show}").stdout == "|/y/x.tar||"
    assert machine.bash(f"{read} --liboqs; {show}").stdout == "||1|"
