"""The machine of a lane's own: nothing of the outer one's networks is there, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.checks.check import ROOT
from scripts.checks.lanes import world
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.outer_machine]

LOOK = """
import json, os, subprocess, sys
from pathlib import Path
def said(*words): return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
print(json.dumps({
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "bridges": said("ovs-vsctl", "list-br"),
    "run": sorted(os.listdir("/run")),
    "state": os.listdir(".state"),
    "pid": os.getpid(),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "version": said("ovs-appctl", "--target=ovs-vswitchd", "version")[:2],
}))
said("ovs-vsctl", "add-br", "qs-lane")
Path(".state/seen").touch()
Path("/run/qslice").mkdir()
sys.exit(7)
"""


def start(state: Path | None, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        world.command_in(state, command), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0,
    )  # fmt: skip


@pytest.mark.needs_ovs
def test_a_world_has_nothing_of_this_machine_and_leaves_nothing_on_it(tmp_path: Path) -> None:
    bridges = subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, check=True).stdout
    process = start(tmp_path / "state", sys.executable, "-c", LOOK)
    out, _ = process.communicate(timeout=60 * PATIENCE)
    assert process.returncode == 7
    seen = json.loads(out)
    assert [name for name in seen["interfaces"] if name not in ("lo", "ovs-netdev")] == []
    assert (seen["bridges"], seen["state"]) == ([], [])
    assert "qslice" not in seen["run"]
    assert seen["version"] == ["ovs-vswitchd", "(Open"]
    assert seen["processes"] < 20
    assert (tmp_path / "state" / "seen").exists()
    assert not Path(".state/seen").exists()
    assert subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, check=True).stdout == bridges


# It says how often it was interrupted, ends when it may, and leaves a child that is in no group of its.
INTERRUPTED = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", str(folder)], start_new_session=True)
times = []
signal.signal(signal.SIGINT, lambda *_: times.append(1))
(folder / "interrupted").write_text("0")
(folder / "runs").touch()
while not (folder / "go-on").exists():
    time.sleep(0.01)
    (folder / "interrupted").write_text(str(len(times)))
(folder / "ended").write_text(str(len(times)))
"""


@pytest.mark.parametrize("is_killed", [False, True], ids=["interrupted", "killed"])
def test_whoever_runs_in_a_world_is_interrupted_once_and_can_clean_up(tmp_path: Path, is_killed: bool) -> None:
    process = start(None, sys.executable, "-c", INTERRUPTED, str(tmp_path))
    try:
        wait_until((tmp_path / "runs").exists, 30)
        mine = processes_with(str(tmp_path))
        assert len(mine) >= 3  # unshare, the world's first process, this program and its child
        if is_killed:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        wait_until(lambda: (tmp_path / "interrupted").read_text() == "1", 30)
    finally:
        (tmp_path / "go-on").touch()
    wait_until((tmp_path / "ended").exists, 30)
    assert (tmp_path / "ended").read_text() == "1"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in mine - {process.pid}), 30)
    assert process.wait(30 * PATIENCE) == (-signal.SIGKILL if is_killed else 0)


def processes_with(word: str) -> set[int]:
    """Those whose command line has it."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if word in (entry / "cmdline").read_text():
                found.add(int(entry.name))
        except OSError:
            continue
    return found
