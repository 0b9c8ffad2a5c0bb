"""Some kills of single KMEs in the distributed form; a thousand are run by hand (tests/stress/kme_kills.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.kme_kills import run


@pytest.mark.slow
def test_no_kill_of_a_kme_loses_a_key_or_gives_one_twice(tmp_path: Path) -> None:
    outcome = run(tmp_path, kills=10, seed=11)
    assert outcome.faults == []
    assert outcome.kills >= 10
    assert outcome.fetched > 0
