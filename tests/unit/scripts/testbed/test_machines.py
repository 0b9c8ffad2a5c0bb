"""Machines that are not as ours: what is missing or taken is said in one line before anything is built."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.bare_machine import BareMachine
from tests.support.launcher import argv, environment

needs_root = pytest.mark.needs_root
BUILD = """
from topologies.catalog import load
from topologies.errors import NetworkError
from topologies.net import ControllerAddress, EmulatedNetwork
try:
    EmulatedNetwork(load("ukqntel"), "netdev", False, ControllerAddress("127.0.0.1", 1))._refuse_foreign_leftovers()
    from topologies import net
    net._require_machine()
except NetworkError as error:
    print("refused:", error)
else:
    print("nothing against it")
"""


def elsewhere(prepare: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python where mounts and network are a namespace's own, after a shell has prepared them."""
    return subprocess.run(
        ["unshare", "--mount", "--net", "--", "bash", "-c", f'{prepare}\nexec "$0" -c "$1"', sys.executable, code],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@needs_root
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("mount -o remount,ro,bind /proc/sys 2>/dev/null || { mount --bind /proc/sys /proc/sys; "
         "mount -o remount,ro,bind /proc/sys; }", "refused: .*/proc/sys must be writable"),
        ("ip link add d0 type dummy || ip link add d0 type veth peer name d1; ip link set d0 up; "
         "ip addr add 10.254.7.1/24 dev d0", r"refused: 10\.254\.0\.0/16 is taken .*10\.254\.7\..* on d0"),
        ("ip link set lo up; ip route add 10.254.128.0/17 dev lo table 77",
         r"refused: 10\.254\.0\.0/16 is taken .*10\.254\.128\.0/17 on lo"),
        ("ip link set lo up; ip route add 10.0.0.0/8 dev lo", "nothing against it"),
        ("true", "nothing against it"),
    ],
    ids=["read-only settings", "an address", "a policy route", "a wider route of a VPN", "nothing"],
)  # fmt: skip
def test_fault_34_what_stands_against_a_network_is_said_before(prepare: str, said: str) -> None:
    done = elsewhere(prepare, BUILD)
    assert done.stdout.count("\n") == 1, done.stderr
    assert re.match(said, done.stdout), done.stdout


@needs_root
def test_fault_34_doctor_tells() -> None:
    code = (
        "from scripts.setup.capabilities import survey\n"
        "print([c.id for c in survey() if c.is_required and not c.is_present])"
    )
    done = elsewhere(
        "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; ip link set lo up; "
        "ip route add 10.254.0.0/16 dev lo", code,
    )  # fmt: skip
    assert "'settings'" in done.stdout, done.stderr
    assert "'addresses'" in done.stdout


@needs_root
def test_fault_34_a_kernel_without_ipv6_has_nothing_to_switch_off(tmp_path: Path) -> None:
    hidden = f"mount --bind '{tmp_path}' /proc/sys/net"
    done = elsewhere(hidden, "from topologies.interfaces import disable_ipv6; disable_ipv6(['lo']); print('done')")
    assert done.stdout == "done\n", done.stderr


@needs_root
def test_fault_34_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """Where the room is missing stands in it."""
    full = tmp_path / "full"
    full.mkdir()
    code = (
        "import sys; from pathlib import Path; from scripts.cli import main; from scripts.testbed.paths import Layout\n"
        f"main.Layout = lambda: Layout(Path('{full}/state'), Path('{tmp_path}/run'))\n"
        "sys.exit(main.main(sys.argv[1:] or ['pki', 'issue', 'alice', '--out', 'out']))"
    )
    done = elsewhere(f"mount -t tmpfs -o size=40k none {full}; dd if=/dev/zero of={full}/x bs=4k 2>/dev/null", code)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert str(full) in done.stderr
    assert "no space left" in done.stderr


def test_fault_34_a_full_disk_behind_standard_output_is_one_line() -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            argv("experiment", "list"), stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False
        )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "standard output" in done.stderr


def test_fault_34_a_set_up_without_room_says_so_first(tmp_path: Path) -> None:
    machine = BareMachine.make(tmp_path)
    machine.put_tool("df", "echo Avail; echo 12")
    done = machine.bash("ensure_ready")
    assert done.returncode == 3
    assert "12 MB free" in done.stderr
    assert machine.acts() == []


REAL_APT = (
    'source <(sed -n "/^apt_get()/,/^}/p;/^apt_update()/,/^}/p;/^readable_sources()/,/^}/p" '
    '"$qslice_root/scripts/setup/environment.sh"); bundle=""; sleep() { :; }\n'
)


def test_fault_34_a_broken_source_of_others_does_not_stop_the_set_up(tmp_path: Path) -> None:
    """apt-get update fails as a whole when one source cannot be had; Debian's packages can be had all the same."""
    machine = BareMachine.make(tmp_path)
    machine.put_tool(
        "apt-get",
        'case " $* " in *" update "*) echo "E: The repository does not have a Release file." >&2; exit 100;; esac\n'
        f'echo "$*" >>"{tmp_path}/apt"; [[ " $* " != *" install "* ]] || touch "{tmp_path}/has-packages"',
    )
    done = machine.bash(REAL_APT + "ensure_ready")
    assert done.returncode == 0, done.stderr
    assert " install " in (tmp_path / "apt").read_text()


@needs_root
def test_fault_34_a_source_that_apt_cannot_parse_is_left_out(tmp_path: Path) -> None:
    """The real apt, which refuses every call for it."""
    code = REAL_APT.replace("sleep() { :; }", "") + (
        'mount -t tmpfs none /etc/apt/sources.list.d; echo "deb nonsense" >/etc/apt/sources.list.d/broken.list\n'
        'echo "deb http://deb.example/debian bookworm main" >/etc/apt/sources.list.d/good.list\n'
        "! apt-get indextargets >/dev/null 2>&1 && apt_get update --print-uris"
    )
    machine = BareMachine.make(tmp_path)
    script = tmp_path / "script"
    script.write_text(f"qslice_root='{machine.clone}'; state_dir() {{ echo '{tmp_path}/state'; }}\n{code}\n")
    done = subprocess.run(
        ["unshare", "--mount", "--", "bash", "-euo", "pipefail", str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "deb.example" in done.stdout
    assert "broken.list" in done.stderr
