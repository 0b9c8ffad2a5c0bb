"""Interfaces made and removed many at a time, in a network namespace where nothing else is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.launcher import environment

pytestmark = pytest.mark.needs_root


def alone(code: str) -> str:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


MAKE = """
import socket
from topologies import interfaces
from topologies.errors import NetworkError
ours = f"group {interfaces.GROUP}"
lines = [interfaces.veth(f"a{n}", f"b{n}", ours, ours) for n in range(3)]
interfaces.ip_batch([*lines, interfaces.veth("theirs", "far"), interfaces.veth("named", "end")])
names = lambda: {name for _, name in socket.if_nameindex()}
"""


def test_the_group_and_what_is_named_are_removed_and_nothing_else() -> None:
    said = alone(
        MAKE + "print(interfaces.remove(['named', 'never-there']))\nprint(sorted(names()))\n"
        "print(interfaces.remove([]), sorted(names()))"
    )
    assert said.splitlines() == [
        "['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'named']",
        "['far', 'lo', 'theirs']",
        "[] ['far', 'lo', 'theirs']",
    ]


def test_the_group_is_raised_without_ipv6_and_others_are_not() -> None:
    said = alone(
        MAKE + "import subprocess\ninterfaces.disable_ipv6(['a0', 'b0'])\ninterfaces.raise_group()\n"
        "print(subprocess.run(['ip', '-o', 'link', 'show', 'up'], capture_output=True, text=True).stdout)\n"
        "print(subprocess.run(['ip', '-6', '-o', 'addr', 'show', 'dev', 'a0'], capture_output=True, text=True).stdout)"
    )
    assert all(f" {name}{n}@" in said for name in "ab" for n in range(3))
    assert "theirs" not in said
    assert "inet6" not in said


def test_what_the_kernel_refuses_is_told() -> None:
    said = alone(
        MAKE + "try:\n    interfaces.ip_batch([interfaces.veth('a0', 'b9')])\n"
        "except NetworkError as error:\n    print(error)"
    )
    assert "File exists" in said
    assert "a0" in said
