"""The command line as a person uses it, and what of ours is on the machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.testbed.paths import REPOSITORY, Layout
from tests.support.wait import PATIENCE

LAYOUT = Layout()
OUR_MODULES = re.compile(r"-m (?:kms|kms\.tunnel|controller|controller\.layers\.\w+|scripts\.cli) ")


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "scripts.cli.main", *words]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


def qslice(*words: str, timeout_s: float = 60, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        argv(*words),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s * PATIENCE,
        check=False,
        env=environment(**env),
    )


@contextlib.contextmanager
def network_up(keylog: Path | None = None, topo: str = "ukqntel", options: Sequence[str] = ()) -> Iterator[Any]:
    """What ``up --detach`` says; the network is gone afterwards, also when it did not come up, or not in time."""
    before = footprint()
    try:
        up = qslice("up", "--topo", topo, "--detach", "--json", *options, QSLICE_UNSAFE_KEYLOG=str(keylog or ""))
        assert up.returncode == 0, up.stderr
        yield json.loads(up.stdout)
    finally:
        down = qslice("down")
    assert down.returncode == 0, down.stderr
    assert left_since(before) == {}


def answer(*words: str, stdin: str = "", timeout_s: float = 60) -> Any:
    """The JSON document of a command that must succeed."""
    done = qslice(*words, "--json", stdin=stdin, timeout_s=timeout_s)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def connection(slice_name: str, name: str) -> Any:
    """A connection as `slice show` has it now."""
    return next(c for c in answer("slice", "show", slice_name)["connections"] if c["name"] == name)


def footprint() -> dict[str, set[str]]:
    """Everything on the machine that a run could leave: interfaces, namespaces, bridges, processes, sockets."""
    interfaces = _run("ip", "-o", "link").stdout
    return {
        "interfaces": set(re.findall(r" (qs-[a-z0-9-]+|q\d+)[@:]", interfaces)),
        "namespaces": {name for name in _run("ip", "netns").stdout.split() if name.startswith("qs")},
        "bridges": {b for b in _run("ovs-vsctl", "list-br").stdout.split() if b.startswith("qs-")},
        "processes": {args for args in _commands() if _is_ours(args)},
        "run": {p.name for p in (*LAYOUT.run.glob("*"), LAYOUT.names) if p.exists()} - {"lock"},
        "ssl": set(_run("ovs-vsctl", "get-ssl").stdout.splitlines()),
    }


def left_since(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What has been added to a footprint, and Open vSwitch's settings that are not as they were. What has gone was left
    by somebody else, and is only now being removed."""
    now = footprint()
    added = {kind: now[kind] - before[kind] for kind in now} | {"ssl": now["ssl"] ^ before["ssl"]}
    return {kind: names for kind, names in added.items() if names}


def _is_ours(command: str) -> bool:
    return "mininet:" in command or ("/run/qslice" in command and OUR_MODULES.search(command) is not None)


def _commands() -> Iterator[str]:
    """Command lines of the processes of our own process namespace (a container's on this machine are not ours)."""
    here = os.readlink("/proc/self/ns/pid")
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "ns" / "pid") == here:
                yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30 * PATIENCE)
