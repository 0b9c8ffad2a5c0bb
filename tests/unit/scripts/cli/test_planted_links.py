"""Keys and results are written where the user said and belong to who called sudo, whatever others have planted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.cli.main import prepared
from scripts.demo import report as demo_report
from scripts.errors import WrongRequest
from scripts.experiments.report import results
from scripts.testbed.paths import Layout, write_private
from tests.support.demo_report import example_report
from tests.support.origin import ORIGIN
from topologies.catalog import ukqntel

MALLORY, ALICE = 4242, 4343
needs_root = pytest.mark.needs_root


def issue(tmp_path: Path, out: Path) -> int:
    arguments = prepared(["pki", "issue", "alice", "--out", str(out), "--json"])
    status: int = arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run"))
    return status


def plant(folder: Path, loot: Path, *names: str) -> None:
    """Links under every name that this process was known to use for what it writes first."""
    loot.touch(mode=0o666)
    for name in names:
        for planted in (name, f".{name}.{os.getpid()}", f".{name}.partial", f"{name}.part"):
            (folder / planted).symlink_to(loot)


@needs_root
@pytest.mark.parametrize("place", ["shared", "shared/alice", "shared/new/alice"])
def test_fault_12_a_key_goes_to_no_place_of_others(tmp_path: Path, place: str) -> None:
    """In a directory for everybody (/tmp) Mallory makes the folder first, and links in it."""
    shared, loot, out = tmp_path / "shared", tmp_path / "loot", tmp_path / place
    shared.mkdir()
    shared.chmod(0o1777)
    if place == "shared/alice":
        out.mkdir()
        os.chown(out, MALLORY, MALLORY)
    if place == "shared/new/alice":
        (shared / "new").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/alice").mkdir(parents=True)
        os.chown(shared / "new", MALLORY, MALLORY, follow_symlinks=False)
    else:
        plant(out, loot, "key.pem")
    with pytest.raises(WrongRequest, match=r"--out: .*(belongs to user 4242|others may write)"):
        issue(tmp_path, out)
    assert not any("PRIVATE KEY" in found.read_text() for found in (tmp_path / "loot", out / "key.pem")
                   if found.exists())  # fmt: skip


@needs_root
def test_fault_12_a_key_in_the_callers_own_folder_is_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, loot = tmp_path / "home", tmp_path / "loot"
    home.mkdir()
    os.chown(home, ALICE, ALICE)
    plant(home, loot, "key.pem")
    monkeypatch.setenv("SUDO_UID", str(ALICE))
    monkeypatch.setenv("SUDO_GID", str(ALICE))
    assert issue(tmp_path, home) == 0
    assert issue(tmp_path, home / "deep/er") == 0
    assert loot.read_text() == ""
    for path in (home / "key.pem", home / "cert.pem", home / "deep", home / "deep/er", home / "deep/er/key.pem"):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (ALICE, ALICE), path
    assert (home / "key.pem").lstat().st_mode & 0o777 == 0o600
    assert (home / "deep").lstat().st_mode & 0o777 == 0o700
    # The caller reads it, and nobody else.
    for user, can_read in ((ALICE, True), (MALLORY, False)):
        read = subprocess.run(
            ["cat", "key.pem"], cwd=home, user=user, group=user, extra_groups=[], capture_output=True, check=False
        )
        assert (read.returncode == 0) is can_read, read.stderr


def test_fault_12_what_is_written_for_a_run_follows_no_link(tmp_path: Path) -> None:
    loot = tmp_path / "loot"
    folder = tmp_path / "run"
    folder.mkdir()
    plant(folder, loot, "controller.json")
    write_private(folder / "controller.json", '{"secret": true}')
    assert loot.read_text() == ""
    assert (folder / "controller.json").read_text() == '{"secret": true}'
    assert not (folder / "controller.json").is_symlink()


@needs_root
def test_fault_12_results_follow_no_link_and_are_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root would write wherever Mallory's links lead, and leave files that who called sudo cannot remove."""
    monkeypatch.setenv("SUDO_UID", str(ALICE))
    monkeypatch.setenv("SUDO_GID", str(ALICE))
    loot = tmp_path / "loot"
    plant(tmp_path, loot, "report.json", "report.html", "results.json")
    demo_report.write_report(example_report(), tmp_path)
    results.write_results(results.ExperimentResult("x", "x", "", 1, 1, ukqntel(), 1.0, ORIGIN), tmp_path, {}, "page")
    assert loot.read_text() == ""
    for name in ("report.json", "report.html", "results.json", "samples.csv"):
        found = (tmp_path / name).lstat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (ALICE, ALICE, 0o644), name
