"""Waiting for key rates that are not known yet: how long, for what, and not for what is known."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.testbed.clients import Answer
from scripts.testbed.key_rates import ask_when_known, without_first_key

UNKNOWN = (503, {"code": "key_rate_unknown", "detail": "not judged: s1"})


def section(name: str, state: str, bits: int = 0) -> dict[str, Any]:
    return {"id": name, "state": state, "available_bits": bits}


def test_a_start_waits_for_judgement_and_first_key_and_not_for_what_is_bad() -> None:
    sections = [
        section("new", "starting"), section("dry", "active"), section("good", "active", 256), section("cut", "stopped"),
    ]  # fmt: skip
    assert without_first_key(sections) == ("new", "dry")
    assert without_first_key(sections, has_time=False) == ("new",)


def test_it_asks_again_until_the_rates_are_known_and_says_what_it_waits_for() -> None:
    answers: list[Answer] = [UNKNOWN, UNKNOWN, (201, {"name": "s"})]
    told: list[str] = []
    assert ask_when_known(lambda: answers.pop(0), 60, told.append) == (201, {"name": "s"})
    assert told == ["not judged: s1"] * 2


@pytest.mark.parametrize("answer", [(422, {"code": "key_rate_lacking"}), (503, {"code": "keys_missing"}), (503, "?")])
def test_every_other_answer_is_the_answer(answer: tuple[int, Any]) -> None:
    assert ask_when_known(lambda: answer, 60, pytest.fail) == answer


@pytest.mark.parametrize("wait_s", [0, 0.1])
def test_it_gives_up_in_time(wait_s: float) -> None:
    told: list[str] = []
    assert ask_when_known(lambda: UNKNOWN, wait_s, told.append) == UNKNOWN
    assert bool(told) is (wait_s > 0)
