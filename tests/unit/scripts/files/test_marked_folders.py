"""What QSlice empties bears its own mark; what anybody else put somewhere stays, whatever folder a command is given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.bench.peer_venv import Peer
from scripts.console.progress import Progress
from scripts.errors import CommandError, WrongRequest
from scripts.testbed.cleanup import forget
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.vm import image as vm_image
from scripts.vm import qemu
from scripts.vm import run as vm_run
from scripts.vm.image import Image, ensure_image
from tests.support.bare_machine import BareMachine


def test_fault_11_vm_results_do_not_delete_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test --vm --out DIR`: refused at once where DIR holds anything; its own results of earlier are replaced."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    with pytest.raises(WrongRequest, match=r"--out: .*home holds things .*thesis\.tex"):
        _run_vm(home, tmp_path, monkeypatch)
    assert (home / "thesis.tex").read_text() == "years of work"

    results = tmp_path / "results"
    with pytest.raises(qemu.BootFailed):
        _run_vm(results, tmp_path, monkeypatch)
    (results / "old.log").write_text("of an earlier call")
    (results / "elsewhere").symlink_to(home)
    with pytest.raises(qemu.BootFailed):
        _run_vm(results, tmp_path, monkeypatch)
    assert not (results / "old.log").exists()
    assert not (results / "elsewhere").is_symlink()
    assert (home / "thesis.tex").exists()  # a link is removed, not what it leads to


def test_fault_11_a_link_is_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    (home / ".made-by-qslice").symlink_to("thesis.tex")
    with pytest.raises(WrongRequest, match="--out"):
        _run_vm(home, tmp_path, monkeypatch)
    assert (home / "thesis.tex").exists()


def test_fault_11_the_images_cache_keeps_what_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, root = tmp_path / "vm", REPOSITORY
    for name in ("0123456789abcdef/root.img", "photos/holiday.jpg"):
        (cache / name).parent.mkdir(parents=True)
        (cache / name).write_text(name)
    monkeypatch.setattr(vm_image, "NEEDED_BYTES", 1 << 80)
    told: list[str] = []
    with pytest.raises(CommandError, match="GB free"):
        ensure_image(root, cache, lambda: pytest.fail("no room was left"), told.append, rebuild=False)
    assert (cache / "photos/holiday.jpg").exists()
    assert not (cache / "0123456789abcdef").exists()
    assert any("photos" in line for line in told)


def test_fault_11_a_peers_place_is_not_cleared(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    peer = Peer("peer", "nothing-of-that-name==0", lock)
    (tmp_path / "peer").mkdir()
    (tmp_path / "peer/thesis.tex").write_text("years of work")
    with pytest.raises(CommandError, match=r"thesis\.tex"):
        peer.python(tmp_path, lambda _: None)
    assert (tmp_path / "peer/thesis.tex").exists()


def test_fault_11_a_runs_end_removes_what_runs_make(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state", tmp_path / "run")
    layout.make()
    layout.lock.touch()
    of_a_run = (layout.record, layout.database, layout.kms_socket, layout.tunnel_socket("cell1"), layout.faults,
                layout.faults_lock, layout.config("kms"), layout.run / ".run.json.77", layout.kms_state / "keys.sqlite",
                layout.run / "controller.sqlite-wal")  # fmt: skip
    for path in of_a_run:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (layout.run / "somebody").mkdir()
    (layout.run / "somebody/else").touch()
    forget(layout)
    assert sorted(path.name for path in layout.run.rglob("*")) == ["else", "lock", "somebody"]


@pytest.mark.parametrize("what", ["venv", "files"])
def test_fault_11_somebodys_own_venv_is_not_cleared(tmp_path: Path, what: str) -> None:
    """The set-up takes the place .venv only where it made it; the message says what to do."""
    machine = BareMachine.make(tmp_path)
    theirs = machine.clone / ".venv"
    theirs.mkdir()
    (theirs / ("pyvenv.cfg" if what == "venv" else "notes.txt")).write_text("home = /usr/local/bin\n")
    done = machine.bash("ensure_ready")
    assert done.returncode == 3, done.stderr
    assert "move it away" in done.stderr
    assert len(list(theirs.iterdir())) == 1


def _run_vm(out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the boot, which fails: an image and a guest would take minutes."""

    def fail(guest: qemu.Guest, accelerator: str, tell: Callable[[dict[str, object]], None]) -> None:
        raise qemu.BootFailed("no guest")

    monkeypatch.setattr(vm_run, "ensure_image", lambda *_, **__: Image.at(folder / "image"))
    monkeypatch.setattr(vm_run, "run_guest", fail)
    monkeypatch.setattr(vm_run, "_scratch", lambda _: os.fspath(folder))
    options = vm_run.parser().parse_args(["--out", str(out), "--accel", "tcg"])
    vm_run.run(options, [], Progress("test --vm"))
