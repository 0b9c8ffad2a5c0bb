"""scripts/qslice: what it says without a set-up, and how it hands over after one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.bare_machine import BareMachine

# The launcher looks for this machine's Open vSwitch, which a lane of tests without networks has not.
pytestmark = pytest.mark.outer_machine

# Design contract: the commands that other people's scripts rely on, each as one that is whole.
COMMANDS = {
    "setup": "setup", "demo": "demo", "test": "test", "up": "up", "down": "down", "status": "status",
    "exec": "exec cell1 -- ls", "slice": "slice list", "pki": "pki list", "link": "link list", "node": "node up cell1",
    "eavesdrop": "eavesdrop stop s2", "keys": "keys", "doctor": "doctor",
}  # fmt: skip

TELL = 'printf "%s\\n" "cwd=$PWD" "path=$PYTHONPATH" "safe=$PYTHONSAFEPATH" "home=${PYTHONHOME-none}" "$@"; exit 7'


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    return BareMachine.make(tmp_path)


@pytest.fixture
def ready(machine: BareMachine) -> BareMachine:
    """A machine where all is set up, and whose Python tells how it was called and exits with 7."""
    assert machine.bash("ensure_ready").returncode == 0
    python = machine.clone / ".venv" / "bin" / "python"
    python.unlink()
    machine.put_script(python, TELL)
    machine.put_tool("id", "echo 0")
    machine.put_tool("dpkg-query", 'for name in "${@:3}"; do echo "installed $name"; done')
    machine.put_tool("ovs-vsctl", "echo a-bridge")
    machine.put_tool("ovs-appctl", "exit 0")
    return machine


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_needs_neither_root_nor_set_up(machine: BareMachine, arguments: list[str]) -> None:
    machine.put_tool("id", "echo 1000")
    done = machine.launch(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert {entry.name for entry in machine.clone.iterdir()} == {"scripts", "kms", "pyproject.toml", "constraints.txt"}


def test_usage_lists_every_command(machine: BareMachine) -> None:
    usage = machine.launch("--help").stdout
    assert {command for command in COMMANDS if f"\n  {command} " in usage} == set(COMMANDS)


def test_no_command_is_a_wrong_request(machine: BareMachine) -> None:
    done = machine.launch()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("qslice: COMMAND is missing: there are ")
    assert " demo, " in done.stderr


@pytest.mark.parametrize("command", ["nosuch", "", "slic", "slice create", ".*", "-v", "-e"])
def test_unknown_command_is_refused_by_name_before_any_set_up(machine: BareMachine, command: str) -> None:
    done = machine.launch(command)
    assert done.returncode == 2
    assert not (machine.clone / ".state").exists()
    assert "(see: qslice" in done.stderr
    if not command.startswith("-"):
        assert f"no such command: {command!r};" in done.stderr
        assert " demo, " in done.stderr or "did you mean slice?" in done.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS.values()))
def test_without_root_it_says_what_to_run(machine: BareMachine, command: str) -> None:
    machine.put_tool("id", "echo 1000")
    done = machine.launch(*command.split())
    assert done.returncode == 3
    assert f"sudo scripts/qslice {command}" in done.stderr
    assert not (machine.clone / ".state").exists()


def test_hands_over_arguments_and_exit_status_unchanged(ready: BareMachine) -> None:
    done = ready.launch("exec", "cell1", "--", "sh", "-c", "echo  'a b'; exit 3")
    assert done.returncode == 7
    assert done.stdout.splitlines()[-8:] == [
        "-m",
        "scripts.cli.main",
        "exec",
        "cell1",
        "--",
        "sh",
        "-c",
        "echo  'a b'; exit 3",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("command", "module"),
    [("setup", "scripts.cli.main"), ("doctor", "scripts.cli.main"), ("test", "scripts.checks.check")],
)
def test_commands_that_are_modules_of_their_own(ready: BareMachine, command: str, module: str) -> None:
    told = ready.launch(command, "--json").stdout.splitlines()
    assert told[-4:] == ["-m", module, command, "--json"] or told[-3:] == ["-m", module, "--json"]


def test_python_gets_a_users_script_with_this_clone_on_its_path(ready: BareMachine) -> None:
    told = ready.launch("python", "my.py", "--help", PYTHONPATH="/nowhere").stdout.splitlines()
    assert told[1:] == [f"path={ready.clone}", "safe=", "home=none", "my.py", "--help"]


def test_works_by_symlink_from_any_directory_whatever_stands_there(ready: BareMachine) -> None:
    elsewhere = ready.folder / "else where"
    (elsewhere / "scripts").mkdir(parents=True)
    (elsewhere / "scripts" / "cli").mkdir()
    (elsewhere / "scripts" / "cli" / "main.py").write_text("raise SystemExit('the wrong one')")
    link = elsewhere / "link"
    link.symlink_to(os.path.relpath(ready.clone / "scripts" / "qslice", elsewhere))
    told = ready.launch("keys", launcher=link, cwd=elsewhere, PYTHONPATH="/nowhere", PYTHONHOME="/nowhere").stdout
    assert told.splitlines() == [
        f"cwd={elsewhere}",
        f"path={ready.clone}",
        "safe=1",
        "home=none",
        "-m",
        "scripts.cli.main",
        "keys",
    ]


@pytest.mark.parametrize("words", ["demo --help", "slice create -h", "-o json demo --help", "link down x --help"])
def test_help_of_a_command_needs_neither_root_nor_set_up(machine: BareMachine, words: str) -> None:
    machine.put_tool("id", "echo 1000")
    done = machine.launch(*words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: qslice ")
    assert not (machine.clone / ".venv").exists()


def test_what_a_host_is_told_is_not_for_us(machine: BareMachine) -> None:
    machine.put_tool("id", "echo 1000")
    assert machine.launch("exec", "cell1", "--", "ls", "--help").returncode == 3


@pytest.mark.parametrize(
    ("words", "status", "path"),
    [
        ("slice craete --json", 2, "slice"), ("slice show --json", 2, "slice show"), ("nosuch -o json", 2, None),
        ("up --json", 3, None), ("topo list --json", 3, None),
    ],
)  # fmt: skip
def test_json_is_said_on_every_way_out(machine: BareMachine, words: str, status: int, path: str | None) -> None:
    machine.put_tool("id", "echo 1000")
    done = machine.launch(*words.split())
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_status"], told.get("command")) == (status, status, path)
    assert told["error"] in done.stderr


def test_machine_without_apt_is_told(ready: BareMachine) -> None:
    (ready.folder / "few").mkdir()
    for tool in ("bash", "readlink", "sed", "grep", "cat", "id", "sha256sum", "cut"):
        (ready.folder / "few" / tool).symlink_to(f"/usr/bin/{tool}")
    (ready.folder / "few" / "id").unlink()
    (ready.folder / "few" / "id").symlink_to(ready.folder / "bin" / "id")
    code = f"PATH={ready.folder}/few; hash -r; ensure_ready"
    done = ready.bash(code)
    assert done.returncode == 3
    assert "Debian 12" in done.stderr
