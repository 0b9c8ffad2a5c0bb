"""A second machine on this one: namespaces for network and mounts, with an Open vSwitch and state of its own.

Another of our networks can be up there at the same time; both know each other by what is plugged between them alone.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.testbed.paths import REPOSITORY, Layout
from tests.support.launcher import argv, environment
from tests.support.wait import PATIENCE, wait_until

_OVS_RUN = "/var/run/openvswitch"
_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Machine:
    """Namespaces that a process holds open. ``into`` are the words before a command that run it there."""

    def __init__(self, holder: int, *, has_network: bool) -> None:
        self.holder = holder
        self.into = ["nsenter", "-t", str(holder), *(["-n"] if has_network else []), "-m", "--"]

    def run(self, *words: str, timeout_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.into, *words], capture_output=True, text=True, timeout=timeout_s * PATIENCE, check=False,
            env=environment(), cwd=REPOSITORY, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def qslice(self, *words: str, timeout_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command as a person there types it."""
        return self.run(*argv(*words), timeout_s=timeout_s, check=check)

    def answer(self, *words: str) -> Any:
        return json.loads(self.qslice(*words, "--json").stdout)

    def await_file(self, path: str) -> None:
        wait_until(lambda: self.run("test", "-e", path, check=False).returncode == 0, 10)

    def hosts_pid(self, host: str) -> int:
        """The process that holds the namespace of a host of the network that is up there."""
        record = self.run("cat", str(Layout().record)).stdout
        return int(json.loads(record)["namespaces"][host])


@contextlib.contextmanager
def _held(*unshare: str, has_network: bool) -> Iterator[Machine]:
    command = ["unshare", *unshare, "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            yield Machine(holder.pid, has_network=has_network)
        finally:
            holder.kill()


@contextlib.contextmanager
def this_machine(names: Mapping[str, str], folder: Path) -> Iterator[Machine]:
    """This one, where some names mean addresses that /etc/hosts need not have."""
    hosts = folder / "hosts"
    lines = [f"{address} {name}\n" for name, address in names.items()]
    hosts.write_text(Path("/etc/hosts").read_text() + "\n" + "".join(lines))
    with _held(has_network=False) as machine:
        machine.run("mount", "--bind", str(hosts), "/etc/hosts")
        yield machine


@contextlib.contextmanager
def second_machine() -> Iterator[Machine]:
    """One with nothing but this one's files: no interface, no switch, no state of ours."""
    with _held("--net", has_network=True) as machine, contextlib.ExitStack() as stack:
        for place in (Layout().run, Layout().state, Path(_OVS_RUN)):
            place.mkdir(parents=True, exist_ok=True)
            machine.run("mount", "-t", "tmpfs", "none", str(place))
        machine.run("ip", "link", "set", "lo", "up")
        database = f"{_OVS_RUN}/conf.db"
        machine.run("ovsdb-tool", "create", database, _SCHEMA)
        for name, words in (
            ("ovsdb-server", (database, f"--remote=punix:{_OVS_RUN}/db.sock",
                              "--private-key=db:Open_vSwitch,SSL,private_key",
                              "--certificate=db:Open_vSwitch,SSL,certificate",
                              "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert")),
            ("ovs-vswitchd", (f"unix:{_OVS_RUN}/db.sock",)),
        ):  # fmt: skip
            process = subprocess.Popen(
                [*machine.into, name, "--pidfile", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            machine.await_file(f"{_OVS_RUN}/{name}.pid")
            if name == "ovsdb-server":
                machine.run("ovs-vsctl", "--no-wait", "init")
        machine.run("ovs-vsctl", "--timeout=10", "show")
        yield machine
