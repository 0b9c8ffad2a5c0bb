"""Mininet's shell survives its user: on real hosts, with the network's switches and slices left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.launcher import environment
from tests.support.wait import PATIENCE

pytestmark = pytest.mark.needs_root

# Two hosts, and a controller that has the slices that it is given.
SHELL = """
import json, sys
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.topo import Topo
setLogLevel("output")
from scripts.testbed.interrupts import end_on_signals
from topologies.mininet_nodes import SiteHost

class Sites:
    site_names = ("cell1", "core1")
    def has_site(self, name): return name in self.site_names

class System:
    topology = Sites()
    def api(self, method, path, body=None): return 200, json.loads(sys.argv[1])
    def popen(self, host, argv, **options):
        return net[host].popen(argv, **options)

net = Mininet(topo=Topo(), controller=None, build=False)
for name in Sites.site_names:
    net.addHost(name, cls=SiteHost, ip=None).cmd("ip link set lo up")
end_on_signals()
try:
    SHELL
    print("left the shell", flush=True)
except KeyboardInterrupt:
    print("was ended", flush=True)
finally:
    for host in net.hosts:
        print(host.name, "lives" if host.shell.poll() is None else "is gone", flush=True)
        host.terminate()
"""
OURS = "from scripts.cli.shell import NetworkShell; NetworkShell(net, System())"
MININETS = "from mininet.cli import CLI; CLI(net)"


def shell(commands: str, program: str = OURS, slices: str = '{"slices": []}') -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SHELL.replace("SHELL\n", program + "\n"), slices], input=commands, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE, check=False,
    )  # fmt: skip


RAISING = [
    "x nobody", "py exit()", "px raise SystemExit(3)", "px raise KeyError('x')", "py 1/0", "cell1", "dpctl", "source /",
    "py net['nobody']", "noecho", "wait 1 2 3 (", "time x nobody", "xterm nobody", "cell1 \x00", "nonsense", "py (",
    "source /nowhere", "cell1 exit", "cell1 exec true", "cell1  logout",
]  # fmt: skip


@pytest.mark.parametrize("command", RAISING)
def test_fault_35_no_command_ends_the_shell_or_a_host(command: str) -> None:
    done = shell(f"{command}\ncell1 echo still-$((40 + 2))\nexit\n")
    assert "still-42" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    assert done.stdout.endswith("left the shell\ncell1 lives\ncore1 lives\n")


def test_fault_35_mininets_own_is_ended_by_them() -> None:
    """The same with the defence off: one unknown host, and the network is gone."""
    done = shell("x nobody\ncell1 echo still-$((40 + 2))\nexit\n", program=MININETS)
    assert done.returncode != 0
    assert "KeyError" in done.stdout
    assert "still-42" not in done.stdout


@pytest.mark.parametrize(
    "command", ["pingall", "pingpair", "pingallfull", "pingpairfull", "iperf", "iperf cell1 core1"]
)
def test_fault_35_measurements_without_a_slice_say_why_not(command: str) -> None:
    """Mininet's own wait for ever: there is no `iperf` here, and no host answers another without a slice."""
    done = shell(f"{command}\nexit\n")
    assert "hosts reach each other over slices alone" in done.stdout
    assert done.stdout.endswith("cell1 lives\ncore1 lives\n")


@pytest.mark.parametrize(
    ("command", "told"),
    [("iperfudp", "iperf3 -u"), ("link cell1 core1 down", "link down"), ("switch cell1 stop", "node down"),
     ("iperf cell1", "name two hosts"), ("pingpair cell1 nobody", "name two hosts")],
)  # fmt: skip
def test_fault_35_what_goes_past_the_controller_names_the_command(command: str, told: str) -> None:
    assert told in shell(f"{command}\nexit\n").stdout


def test_fault_35_measurements_go_over_connections() -> None:
    slices = (
        '{"slices": [{"name": "s", "request": {"name": "s", "connections": {"control": {"bandwidth_mbps": 1}}},'
        ' "connections": [{"name": "c", "role": "control", "src": "cell1", "dst": "core1", "required": "dh",'
        ' "key_source": "dh", "path": ["x"], "src_address": "127.0.0.1", "dst_address": "127.0.0.1"}]}]}'
    )
    done = shell("pingall\nexit\n", slices=slices)
    assert "s/c cell1 -> core1: 5 of 5 came back" in done.stdout


def test_fault_35_a_host_whose_shell_was_killed_is_told() -> None:
    done = shell("cell1 kill -9 $$\ncore1 echo still-$((40 + 2))\nexit\n")
    assert "the shell of cell1 has ended" in done.stdout
    assert "still-42" in done.stdout
    assert done.stdout.endswith("cell1 is gone\ncore1 lives\n")


def test_fault_35_the_end_of_the_input_is_the_end() -> None:
    assert "left the shell" in shell("").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_fault_35_a_signal_to_end_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """Mininet's own takes every signal for Ctrl-C: `down` waited half a minute and killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SHELL.replace("SHELL\n", OURS + "\n"), '{"slices": []}'], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("cell1 echo ready-$((40 + 2))\n")
    process.stdin.flush()
    while "ready-42" not in process.stdout.readline():
        pass
    os.kill(process.pid, number)
    assert "was ended" in process.stdout.read()
    process.wait(60)
