"""When `up` returns a QKD slice can be created, and rates that are not known are waited for.

QSLICE_FIRST_SLICES=50 repeats the first test that often on each network.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.launcher import argv, connection, environment, network_up, qslice
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import CATALOG, load
from topologies.spec import Allocation

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

# Where circuits are allocated a client port carries 10 Mbit/s, and the example's backhaul asks for 20.
NETWORKS = sorted(name for name in CATALOG if load(name).allocation is Allocation.SHARED)
REPEATS = int(os.environ.get("QSLICE_FIRST_SLICES", "1"))


@pytest.mark.timeout(300 * REPEATS)
@pytest.mark.parametrize("topo", NETWORKS)
def test_the_readmes_first_slice_succeeds_the_moment_up_returns(topo: str) -> None:
    for _ in range(REPEATS):
        with network_up(topo=topo):
            done = qslice("slice", "create", "--example", "enterprise-app", "--wait", "0")
            assert done.returncode == 0, done.stderr


def test_a_slice_waits_for_a_kms_that_is_away_and_those_that_are_there_go_on() -> None:
    with network_up():
        assert qslice("slice", "create", "--example", "enterprise-app").returncode == 0
        carrying = connection("enterprise-app", "compute-core")
        assert qslice("kill", "kms").returncode == 0
        refused = qslice("slice", "create", "--example", "cdn", "--wait", "0")
        assert refused.returncode == 1
        assert "not known yet" in refused.stderr
        assert "bit/s" not in refused.stderr
        assert "would fit" not in refused.stderr
        words = argv("slice", "create", "--example", "cdn")
        with subprocess.Popen(words, stdout=-1, stderr=-1, text=True, env=environment()) as waiting:
            assert waiting.stderr is not None
            assert "waiting for key rates" in waiting.stderr.readline()
            ping = ["exec", carrying["src"], "--", "ping", "-c", "3", "-i", "0.2", "-W", "1", carrying["dst_address"]]
            assert qslice(*ping).returncode == 0
            assert qslice("restart", "kms").returncode == 0
            out, err = waiting.communicate(timeout=60 * PATIENCE)
        assert waiting.returncode == 0, err
        assert "cdn is ACTIVE" in out
        wait_until(lambda: connection("enterprise-app", "compute-core")["state"] == "ACTIVE", 20, 0.2)
