"""The compiled loops have no bounds checks; run as the Python that they are written in, they have."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.wait import PATIENCE

BOUNDS = "rubbish or told_apart or another_kind or too_long or cut_as_scapy or segments_become or extension_headers"


@pytest.mark.slow
def test_no_index_is_out_of_bounds_and_all_is_the_same_without_the_compiler() -> None:
    options = ["-q", "-p", "no:cacheprovider", "-k", BOUNDS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/unit/tunnel/packet/test_gso.py"],
        cwd=REPOSITORY, env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True, text=True, timeout=120 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
