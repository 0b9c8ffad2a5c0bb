"""What a process does about what the one before it left half done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.model.states import SliceState
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import ukqntel


def test_a_recovery_that_is_begun_anew_leaves_alone_what_others_are_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = Bench(ukqntel(), tmp_path / "db")
    after.maintenance.load()
    after.maintenance.refresh_keys()
    with monkeypatch.context() as patched:
        patched.setattr(after.tunnels, "held", dict[str, Any]().__getitem__)  # in a way nobody has thought of
        with pytest.raises(KeyError):
            after.maintenance.recover()

    def recover_again(checkpoint: str) -> None:
        if checkpoint == "create.4-transit-confirmed":
            after.maintenance.recover()

    after.at_checkpoint = recover_again
    assert after.slices.create(request_for("cdn")).state is SliceState.ACTIVE
