"""Settings of the host, which every agent reads once a second."""

from __future__ import annotations

import subprocess
import sys

from kms.tunnel.dataplane import addressing

ROOM_KB = 128
FORK_READS = """
import os
from pathlib import Path

import kms.tunnel.fork_server.__main__  # what an agent shares with its siblings
from kms.tunnel.dataplane.addressing import read_sysctl


def own_kb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
for _ in range(100):
    read_sysctl("ipv4/conf/all/rp_filter")
before = own_kb()
for _ in range(20_000):
    read_sysctl("ipv4/conf/all/rp_filter")
print(own_kb() - before)
"""


def test_a_fork_that_reads_a_setting_again_and_again_goes_on_sharing_its_memory() -> None:
    done = subprocess.run([sys.executable, "-c", FORK_READS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < ROOM_KB


def test_a_setting_that_the_kernel_has_not_is_none() -> None:
    assert addressing.read_sysctl("ipv4/conf/all/rp_filter") is not None
    assert addressing.read_sysctl("ipv4/no-such-setting") is None
