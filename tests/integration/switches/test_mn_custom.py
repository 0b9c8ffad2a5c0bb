"""``sudo mn --custom topologies/mn.py`` builds our topologies too. (A file of its own: no other network may be up.)"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.wait import PATIENCE
from topologies.catalog import load
from topologies.files import load_topology

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.slow]


def launched(topology: str, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["mn", "--custom", "topologies/mn.py", "--topo", topology],
        input=f"{command}\nexit\n",
        capture_output=True, text=True, cwd=REPOSITORY, timeout=60 * PATIENCE, check=False,
    )  # fmt: skip


def test_mininets_own_launcher_builds_it_and_leaves_nothing() -> None:
    done = launched("metro-ring", "core2 ip -br addr show data0")
    assert done.returncode == 0, done.stderr
    assert load("metro-ring").host("core2").data_address in done.stdout + done.stderr
    interfaces = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert not re.findall(r" qs-(?:cell|agg|metro|core)\d\S*", interfaces)


def test_mininets_own_launcher_builds_a_users_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "name: mine\nsites: [{name: antenna, tier: cell}, {name: frankfurtammain, tier: core}]\n"
        "fibres: [{a: antenna, b: frankfurtammain, km: 8, channels: [none]}]\n"
    )
    done = launched(f"file,{mine}", "frankfurtammain ip -br addr show data0")
    assert done.returncode == 0, done.stderr
    assert load_topology(mine).host("frankfurtammain").data_address in done.stdout + done.stderr
    mine.write_text("name: mine\n")
    done = launched(f"file,{mine}", "nodes")
    assert done.returncode != 0
    assert f"{mine}:1: the field 'sites' is missing: add it" in done.stdout + done.stderr
