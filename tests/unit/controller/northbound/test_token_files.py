"""The API's token: nobody else's, and there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.model.errors import ConfigError
from controller.northbound.http import token_files
from controller.northbound.http.token_files import read_or_make_token
from tests.support.kill_points import killed_at_each_line


def test_fault_18_a_token_killed_in_the_making_is_completed(tmp_path: Path) -> None:
    def act(place: Path) -> None:
        read_or_make_token(place / "token")

    for place in killed_at_each_line(act, tmp_path, token_files):
        token = read_or_make_token(place / "token")
        assert len(token) > 40
        assert read_or_make_token(place / "token") == token
        assert (place / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs_root
def test_fault_12_a_token_that_somebody_planted_is_refused(tmp_path: Path) -> None:
    """Who put it there knows it."""
    planted = tmp_path / "token"
    planted.write_text("known-to-mallory\n")
    planted.chmod(0o600)
    os.chown(planted, 4242, 4242)
    with pytest.raises(ConfigError, match="belongs to user 4242"):
        read_or_make_token(planted)


def test_fault_12_a_tokens_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(tmp_path / "loot")
    with pytest.raises((ConfigError, OSError)):
        read_or_make_token(tmp_path / "token")
    assert not (tmp_path / "loot").exists()
