"""The key log, which holds the keys in the clear: its file is its owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kms.tunnel.agent.keylog import KeyLog
from kms.tunnel.errors import ConfigurationError


@pytest.mark.needs_root
@pytest.mark.parametrize("planted", ["file", "link", "second name", "pipe"])
def test_fault_12_a_key_log_that_somebody_planted_is_refused(tmp_path: Path, planted: str) -> None:
    """Whoever owns the file, or holds it open, would read the keys."""
    path, loot = tmp_path / "keylog", tmp_path / "loot"
    if planted == "pipe":
        os.mkfifo(path)
    elif planted == "link":
        path.symlink_to(loot)
    else:
        path.touch()
    if planted == "file":
        os.chown(path, 4242, 4242)
    if planted == "second name":
        os.link(path, loot)
    with pytest.raises(ConfigurationError):
        KeyLog(path)


def test_a_key_log_of_ones_own_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        KeyLog(tmp_path / "keylog").close()
    assert (tmp_path / "keylog").stat().st_mode & 0o777 == 0o600
