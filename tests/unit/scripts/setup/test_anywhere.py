"""The launcher, started as people, cron, systemd and other programs start things."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from scripts.testbed.callers_environment import callers_environment, callers_umask
from tests.support.bare_machine import BareMachine

# The launcher looks for this machine's Open vSwitch, which a lane of tests without networks has not.
pytestmark = pytest.mark.outer_machine

SHOW = 'printf "%s\\0" "umask=$(umask)" "cwd=$(pwd 2>&1)" "0=$(readlink /proc/self/fd/0)"; exec env -0'


@pytest.fixture
def ready(tmp_path: Path) -> BareMachine:
    """A machine where all is set up, and whose Python shows what it was given."""
    machine = BareMachine.make(tmp_path)
    assert machine.bash("ensure_ready").returncode == 0
    python = machine.clone / ".venv" / "bin" / "python"
    python.unlink()
    machine.put_script(python, SHOW)
    machine.put_tool("id", "echo 0")
    machine.put_tool("dpkg-query", 'for name in "${@:3}"; do echo "installed $name"; done')
    machine.put_tool("ovs-vsctl", "echo a-bridge")
    machine.put_tool("ovs-appctl", "exit 0")
    return machine


def shown(output: str) -> dict[str, str]:
    return dict(item.partition("=")[::2] for item in output.split("\0") if item)


def launch(machine: BareMachine, before: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Run ``before`` in a shell, which then starts the launcher in whatever state that has left."""
    done = subprocess.run(
        ["/bin/bash", "-c", f'{before}\nexec "$0" status', str(machine.clone / "scripts/qslice")],
        cwd=machine.folder, env={**machine.environment, **(environment or {})}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if not line.startswith(("shell-init:", "/bin/bash: warning"))]
    assert (done.returncode, said) == (0, [])
    return shown(done.stdout)


def test_fault_26_any_locale_and_any_python_of_the_callers(ready: BareMachine) -> None:
    """Ours is the same always, and the caller's is kept for what runs inside hosts."""
    theirs = {
        "LC_ALL": "tr_TR.ISO-8859-9", "LC_NUMERIC": "de_DE.UTF-8", "LANG": "xx_YY", "PYTHONIOENCODING": "ascii",
        "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error", "PIP_TARGET": "/nowhere",
        "HOME": "/home/of whom", "EDITOR": "ed",
    }  # fmt: skip
    seen = launch(ready, ":", theirs)
    assert seen["LC_ALL"] == "C.UTF-8"
    assert not {"LC_NUMERIC", "LANG", "PYTHONIOENCODING", "PYTHONINSPECT", "PYTHONWARNINGS", "PIP_TARGET"} & set(seen)
    assert seen["PYTHONUTF8"] == "1"
    assert seen["PYTHONPATH"] == str(ready.clone)

    assert "POSIXLY_CORRECT" not in launch(ready, ":", {"POSIXLY_CORRECT": "1"})

    inside = callers_environment(seen)
    assert {name: inside.get(name) for name in theirs} == theirs
    assert not {name for name in inside if name.startswith(("PYTHONUTF8", "PYTHONPATH", "PYTHONSAFE", "QSLICE_"))}


@pytest.mark.parametrize(("mask", "ours"), [("0000", "0022"), ("0002", "0022"), ("0077", "0077"), ("0777", "0077")])
def test_fault_26_any_umask(ready: BareMachine, mask: str, ours: str) -> None:
    seen = launch(ready, f"umask {mask}")
    assert seen["umask"] == ours
    assert callers_umask(seen) == int(mask, 8)


def test_fault_26_from_a_directory_that_is_gone(ready: BareMachine) -> None:
    launch(ready, "mkdir gone; cd gone; rmdir ../gone")


def test_fault_26_a_set_up_from_a_directory_that_is_gone(tmp_path: Path) -> None:
    """pip and others ask for the current directory, and fail."""
    machine = BareMachine.make(tmp_path)
    code = "pip_install() { note pip; pwd -P; /usr/bin/python3 -c 'import os; os.getcwd()'; }; "
    done = machine.bash(code + 'mkdir "$1/gone"; cd "$1/gone"; rmdir ../gone; ensure_ready')
    assert done.returncode == 0, done.stderr


def test_fault_26_without_standard_streams(ready: BareMachine) -> None:
    """What is opened next would get their numbers: a database, into which messages are then written."""
    seen = launch(ready, "exec 0<&-")
    assert seen["0"] == "/dev/null"
    told = ready.folder / "told"
    ready.put_script(ready.clone / ".venv/bin/python", f"readlink /proc/$$/fd/1 /proc/$$/fd/2 >{told}")
    subprocess.run(
        ["/bin/bash", "-c", f"exec '{ready.clone}/scripts/qslice' status 1>&- 2>&-"], env=ready.environment, check=True
    )
    assert told.read_text().split() == ["/dev/null", "/dev/null"]


def test_fault_26_from_a_socket_and_an_empty_environment(ready: BareMachine) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [str(ready.clone / "scripts/qslice"), "status"], env={}, stdin=theirs.fileno(), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert "needs root" in done.stderr or shown(done.stdout)["0"].startswith("socket:")
    assert "unbound variable" not in done.stderr


def test_fault_26_called_by_another_shell(ready: BareMachine) -> None:
    done = subprocess.run(
        ["sh", str(ready.clone / "scripts/qslice"), "status"], env=ready.environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert os.path.basename(shown(done.stdout)["PYTHONPATH"]) == "a clone [2]"
