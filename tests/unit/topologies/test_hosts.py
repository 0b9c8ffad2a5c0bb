"""Hosts without a shell: their namespaces, what is set up in them, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.launcher import environment
from tests.support.wait import wait_until
from topologies import interfaces, namespaces
from topologies.errors import NetworkError
from topologies.mininet_nodes import SiteHost
from topologies.namespaces import InterfaceSettings, NamespaceSettings

pytestmark = pytest.mark.needs_root


@pytest.fixture
def host() -> Iterator[SiteHost]:
    host = SiteHost("qs-test", ip=None)
    host.wait_held()
    yield host
    host.terminate()


def inside(host: SiteHost, *argv: str) -> str:
    into = ["nsenter", "-t", str(host.pid), "-n", "--"]
    return subprocess.run([*into, *argv], capture_output=True, text=True, check=True, timeout=30).stdout


def test_a_host_has_a_namespace_and_no_shell_until_it_is_told_something(host: SiteHost) -> None:
    assert os.readlink(f"/proc/{host.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert host.shell is None
    assert host.cmd("readlink /proc/self/ns/net").strip() == os.readlink(f"/proc/{host.pid}/ns/net")


def test_a_shell_that_has_ended_is_followed_by_another_in_the_same_namespace(host: SiteHost) -> None:
    before = host.cmd("ip link set lo up; readlink /proc/self/ns/net")
    host.shell.kill()
    wait_until(lambda: host.shell.poll() is not None, timeout_s=5)
    assert host.cmd("readlink /proc/self/ns/net") == before
    assert "UP" in host.cmd("ip -br link show lo")


def test_a_namespace_ends_with_whoever_made_it_however_that_ends() -> None:
    program = (
        "import os, sys; from topologies.mininet_nodes import SiteHost\n"
        "host = SiteHost('qs-test', ip=None); host.wait_held(); print(host.pid, flush=True); sys.stdin.read()"
    )
    maker = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert maker.stdout is not None
    pid = int(maker.stdout.readline())
    maker.kill()
    maker.communicate()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout_s=5)


def test_settings_and_addresses_are_those_of_the_namespace_alone(host: SiteHost) -> None:
    interfaces.ip_batch([interfaces.veth("data0", "far", f"netns {host.pid}", f"netns {host.pid}")])
    namespaces.apply(
        [
            NamespaceSettings(
                host.pid,
                {"ipv6/conf/all/disable_ipv6": "1", "ipv4/neigh/data0/mcast_solicit": "77"},
                (InterfaceSettings("lo"), InterfaceSettings("data0", IPv4Interface("172.20.0.9/16"), checksums=False)),
            )
        ]
    )
    shown = inside(host, "ip", "-br", "addr")
    assert "172.20.0.9/16" in shown
    assert "127.0.0.1/8" in shown
    assert "fe80" not in shown
    assert inside(host, "sysctl", "-n", "net.ipv4.neigh.data0.mcast_solicit").strip() == "77"
    assert "data0" not in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout


def test_what_the_kernel_refuses_names_the_interface(host: SiteHost) -> None:
    with pytest.raises(OSError, match="never: No such device"):
        namespaces.apply([NamespaceSettings(host.pid, {}, (InterfaceSettings("never"),))])


def test_a_machine_that_makes_no_namespace_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topologies.mininet_nodes._HOLD", ("sh", "-c", "echo no more of those >&2; exit 1"))
    host = SiteHost("qs-test", ip=None)
    with pytest.raises(NetworkError, match="no more of those"):
        host.wait_held()
    host.terminate()
