"""``sudo mn --custom topologies/mn.py`` builds our topologies too. (A file of its own: no other network may be up.)"""

from __future__ import annotations

import re
import subprocess

import pytest

from scripts.testbed.paths import REPOSITORY
from topologies.catalog import load

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.slow]


def test_mininets_own_launcher_builds_it_and_leaves_nothing() -> None:
    done = subprocess.run(
        ["mn", "--custom", "topologies/mn.py", "--topo", "metro-ring"],
        input="core2 ip -br addr show data0\nexit\n",
        capture_output=True, text=True, cwd=REPOSITORY, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert load("metro-ring").host("core2").data_address in done.stdout + done.stderr
    interfaces = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert not re.findall(r" qs-(?:cell|agg|metro|core)\d\S*", interfaces)
