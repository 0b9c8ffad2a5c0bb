"""The set-up: does what is missing and no more, and mends what an interruption, a move or a change left."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.bare_machine import ROOT, BareMachine
from tests.support.wait import wait_until

# The launcher looks for this machine's Open vSwitch, which a lane of tests without networks has not.
pytestmark = pytest.mark.outer_machine

ALL_OF_IT = ["dpkg", "apt-get update", "apt-get install", "ryu", "pip", "loops", "ovs"]


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    return BareMachine.make(tmp_path)


def ensure_ready(machine: BareMachine, before: str = "") -> subprocess.CompletedProcess[str]:
    return machine.bash(f"{before}\nensure_ready")


def names(acts: list[str]) -> list[str]:
    """Without the number of packages, which is no matter here."""
    return [act.split(" ")[0] if act.startswith("pip ") else act for act in acts]


def test_bare_machine_gets_all_of_it_once(machine: BareMachine) -> None:
    first = ensure_ready(machine)
    assert first.returncode == 0, first.stderr
    assert names(machine.acts()) == ALL_OF_IT

    second = ensure_ready(machine)
    assert second.returncode == 0
    assert machine.acts() == []
    assert second.stderr == ""


def test_progress_is_on_standard_error_alone(machine: BareMachine) -> None:
    done = ensure_ready(machine)
    assert done.stdout == ""
    assert "installing" in done.stderr
    assert " s] ready" in done.stderr


def test_state_directory_is_private(machine: BareMachine) -> None:
    ensure_ready(machine)
    assert (machine.clone / ".state").stat().st_mode & 0o777 == 0o700


def test_venv_is_of_the_system_python_and_sees_its_packages(machine: BareMachine) -> None:
    machine.put_tool("python3", "echo 'another Python' >&2; exit 1")
    assert machine.bash(f"{_the_real('make_venv')}; make_venv").returncode == 0
    assert (machine.clone / ".venv" / "bin" / "pip").exists()
    config = (machine.clone / ".venv" / "pyvenv.cfg").read_text()
    assert "home = /usr/bin\n" in config
    assert "include-system-site-packages = true" in config


def test_stopped_open_vswitch_is_started_and_nothing_else_done(machine: BareMachine) -> None:
    ensure_ready(machine)
    machine.acts()
    (machine.folder / "ovs-runs").unlink()
    ensure_ready(machine)
    assert machine.acts() == ["ovs"]


def test_changed_pins_are_installed_into_the_same_venv(machine: BareMachine) -> None:
    ensure_ready(machine)
    machine.acts()
    kept = machine.clone / ".venv" / "kept"
    kept.touch()
    with (machine.clone / "constraints.txt").open("a") as constraints:
        constraints.write("leftpad==1.0\n")
    ensure_ready(machine)
    assert names(machine.acts()) == ["ryu", "pip", "loops"]
    assert kept.exists()


def test_moved_clone_gets_a_new_venv(machine: BareMachine) -> None:
    ensure_ready(machine)
    machine.acts()
    elsewhere = machine.folder / "moved"
    machine.clone.rename(elsewhere)
    machine.clone = elsewhere
    ensure_ready(machine)
    assert names(machine.acts()) == ["ryu", "pip", "loops"]
    assert str(elsewhere) in (elsewhere / ".venv" / "bin" / "activate").read_text()


@pytest.mark.parametrize(
    ("missing", "done"),
    [("bin/python", ["ryu", "pip", "loops"]), ("identity", ["ryu", "pip", "loops"]), ("pins", ["ryu", "pip"]),
     ("loops", ["loops"])],
)  # fmt: skip
def test_damaged_venv_is_mended(machine: BareMachine, missing: str, done: list[str]) -> None:
    ensure_ready(machine)
    machine.acts()
    (machine.clone / ".venv" / missing).unlink()
    assert ensure_ready(machine).returncode == 0
    assert names(machine.acts()) == done
    assert (machine.clone / ".venv" / missing).exists()


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_pip_leaves_a_venv_that_is_made_anew(
    machine: BareMachine, stop: signal.Signals, status: int
) -> None:
    process = machine.start("pip_install() { note pip; sleep 60; }\nensure_ready")
    wait_until(lambda: "pip" in _read(machine.folder / "acts"), timeout_s=30)
    half_a_package = machine.clone / ".venv" / "half-a-package"
    half_a_package.touch()
    os.killpg(process.pid, stop)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert "failed" not in err
    machine.acts()

    assert ensure_ready(machine).returncode == 0
    assert names(machine.acts()) == ["ryu", "pip", "loops", "ovs"]
    assert not half_a_package.exists()


def test_venv_that_is_a_link_to_another_clones_is_refused_and_left_as_it_is(machine: BareMachine) -> None:
    """The real make_venv empties a directory that it finds, also behind a link."""
    another = machine.folder / "another clone" / ".venv"
    (another / "lib").mkdir(parents=True)
    (another / "identity").write_text(f"{another} /usr/bin/python3.11")
    (another / "lib" / "package").write_text("in use")
    before = _contents(another)
    link = machine.clone / ".venv"
    link.symlink_to(another)
    refused = ensure_ready(machine, _the_real("make_venv"))
    assert refused.returncode == 3
    assert f"{link} is a symbolic link to {another}" in refused.stderr
    assert f"rm '{link}'" in refused.stderr
    assert _contents(another) == before
    assert names(machine.acts()) == ["dpkg", "apt-get update", "apt-get install"]

    link.unlink()
    assert ensure_ready(machine).returncode == 0
    assert (link / "bin" / "python").exists()
    assert _contents(another) == before


def test_failure_shows_the_end_of_the_log_and_what_to_do(machine: BareMachine) -> None:
    broken = "pip_install() { echo 'Could not fetch URL'; return 7; }"
    failed = ensure_ready(machine, broken)
    assert failed.returncode == 3
    assert "Could not fetch URL" in failed.stderr
    assert "(exit status 7)" in failed.stderr
    assert "Python package index" in failed.stderr
    assert "run the same command again" in failed.stderr

    machine.acts()
    assert ensure_ready(machine).returncode == 0
    assert names(machine.acts()) == ["ryu", "pip", "loops", "ovs"]


def test_loops_are_compiled_anew_when_they_or_the_processor_change(machine: BareMachine) -> None:
    ensure_ready(machine)
    machine.acts()
    with (machine.clone / "kms" / "tunnel" / "packet" / "compiled_loops.py").open("a") as loops:
        loops.write("# another\n")
    ensure_ready(machine)
    assert machine.acts() == ["loops"]
    for processor in ("echo 'model name: another'", "exit 1"):  # the second has no name, as on arm64
        machine.put_tool("grep", f'if [[ $* == *"model name"* ]]; then {processor}; else exec /bin/grep "$@"; fi')
        for compiled in (["loops"], []):
            assert ensure_ready(machine).returncode == 0
            assert machine.acts() == compiled


def test_package_index_is_tried_again_while_another_apt_holds_it(machine: BareMachine) -> None:
    busy_once = """
    sleep() { :; }
    apt_get() {
        note "apt-get $1"
        [[ $1 == update && ! -e $qslice_root/../tried ]] && { touch "$qslice_root/../tried"; return 100; }
        [[ $1 != install ]] || touch "$qslice_root/../has-packages"
    }"""
    assert ensure_ready(machine, busy_once).returncode == 0
    assert machine.acts()[:4] == ["dpkg", "apt-get update", "apt-get update", "apt-get install"]


def test_two_at_once_do_it_once(machine: BareMachine) -> None:
    slow = "pip_install() { note pip; sleep 0.3; }\nensure_ready"
    both = [machine.start(slow), machine.start(slow)]
    ends = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert names(machine.acts()) == ALL_OF_IT


def test_daemon_started_by_set_up_does_not_keep_the_lock(machine: BareMachine) -> None:
    daemon = """
    start_openvswitch_daemons() {
        touch "$qslice_root/../ovs-runs"
        setsid sleep 60 &
        echo $! >"$qslice_root/../pid"
    }"""
    done = ensure_ready(machine, daemon)
    pid = (machine.folder / "pid").read_text().strip()
    try:
        assert done.returncode == 0
        assert (
            subprocess.run(["flock", "--nonblock", machine.folder / "setup.lock", "true"], check=False).returncode == 0
        )
    finally:
        subprocess.run(["kill", pid], check=True)


def test_package_that_is_removed_but_not_purged_counts_as_missing(machine: BareMachine) -> None:
    machine.put_tool(
        "dpkg-query", "echo 'installed bash'; echo 'config-files tshark'; echo 'half-configured ryu'; exit 1"
    )
    code = f"{_the_real('missing_packages')}; missing_packages bash tshark ryu absent"
    assert machine.bash(code).stdout.split() == ["tshark", "ryu", "absent"]


@pytest.mark.parametrize(
    ("answers", "has_allocator", "bridges", "is_ready"),
    [
        (True, True, "", True),
        (True, False, "somebody's", True),  # whose network is not interrupted
        (True, False, "", False),
        (False, True, "", False),
    ],
)
def test_open_vswitch_is_started_anew_with_the_allocator_unless_it_has_bridges(
    machine: BareMachine, answers: bool, has_allocator: bool, bridges: str, is_ready: bool
) -> None:
    machine.put_tool("ovs-vsctl", f"[[ $* != *list-br* ]] || echo {shlex.quote(bridges)}; {_status(answers)}")
    machine.put_tool("ovs-appctl", _status(answers))
    code = f"""
    {_the_real("openvswitch_ready")}
    openvswitch_has_allocator() {{ {_status(has_allocator)}; }}
    openvswitch_ready"""
    assert (machine.bash(code).returncode == 0) is is_ready


def test_package_lists_are_read_without_their_comments(machine: BareMachine) -> None:
    listed = machine.bash('wanted_packages "${package_lists[@]}"').stdout.splitlines()
    assert {"mininet", "openvswitch-switch", "iperf3", "ethtool", "tcpdump", "tshark"} <= set(listed)
    assert len(listed) == len(set(listed))
    assert all(name and " " not in name and "#" not in name for name in listed)


def test_requirements_come_from_pyproject(machine: BareMachine) -> None:
    listed = machine.bash("requirements").stdout.splitlines()
    assert "ryu==4.34" in listed
    assert {"cryptography", "pytest"} <= set(listed)


def test_every_requirement_is_pinned(machine: BareMachine) -> None:
    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {normal(line.split("==")[0]) for line in lines if "==" in line}
    wanted = {normal(re.split(r"==|\[", line)[0]) for line in machine.bash("requirements").stdout.splitlines()}
    assert wanted <= pinned


def _the_real(function: str) -> str:
    """Bash that takes the product's function back, where the fake machine has replaced it."""
    return f'source <(sed -n "/^{function}()/,/}}$/p" "$qslice_root/scripts/setup/environment.sh")'


def _status(is_success: bool) -> str:
    return "true" if is_success else "false"


def _contents(folder: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
