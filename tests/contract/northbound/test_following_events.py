"""Events as Python users follow them, from the real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.automation.events import Events
from scripts.errors import DidNotHold, EnvironmentLacks
from tests.support.controller_bench import raw_request
from tests.support.running_controller import RunningController
from tests.support.wait import PATIENCE


def reserve(controller: RunningController, name: str) -> None:
    body = {"slice": raw_request("cdn", name=name)}
    status, _, _ = controller.call("POST", "/v1/reservations", body, controller.token())
    assert status == 201


def test_what_happens_in_the_block_is_heard_also_after_a_restart(tmp_path: Path) -> None:
    with RunningController(tmp_path) as controller:
        url = f"http://127.0.0.1:{controller.port}"
        with Events(url) as events:
            reserve(controller, "one")
            heard = events.wait_for("slice", 10 * PATIENCE, slice="one")
            assert heard["state"] == "RESERVED"
            assert events.wait_for("slice", 0, slice="one") == heard  # what has been heard is not gone
            with pytest.raises(DidNotHold, match="nobody"):
                events.wait_for("slice", 0.1, slice="nobody")
            controller.restart()
            reserve(controller, "two")
            assert events.wait_for("slice", 10 * PATIENCE, slice="two")["state"] == "RESERVED"
        assert [e.sequence for e in events.heard] == sorted(e.sequence for e in events.heard)


def test_without_a_controller_it_says_so() -> None:
    with pytest.raises(EnvironmentLacks, match="does not answer"), Events("http://127.0.0.1:9"):
        pass
