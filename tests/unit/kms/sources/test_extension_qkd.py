"""A section whose key somebody else's model makes: what is believed, and when its key may be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from kms.errors import KeyMakerError, SectionStoppedError
from kms.sources.extension_qkd import LONGEST_UNJUDGED_S, MOST_STEP_BITS, ExtensionMaker, line_view
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import AttackKind, Protocol, StopReason
from kms.sources.qkd.section import KeyBuffer, Section, SectionState
from scripts.extensions.api import AttackView, Block, Forecast, LineView
from tests.support.extensions import sections as models

CHANNEL = ChannelParameters(length_km=30.0)
TAPPED = Attack(AttackKind.INTERCEPT_RESEND, 1.0)


class Here:
    """An extension in this process, and what it was asked."""

    identity = None

    def __init__(self, model: Any) -> None:
        self.model = model
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def ask(self, call: str, *values: Any) -> Any:
        self.asked.append((call, values))
        return getattr(self.model, call)(*values)


def maker(model: Any) -> ExtensionMaker:
    return ExtensionMaker(Here(model), line_view("s1", "a", "b", Protocol.BB84, CHANNEL), os.urandom)


def section(*, is_vouched: bool = False) -> Section:
    return Section("s1", "a", "b", CHANNEL, KeyBuffer(1 << 15), extension="qkd steady 0.1", is_vouched=is_vouched)


def work_for(making: ExtensionMaker, works: int) -> list[bytes]:
    """The key of so many works of 0.8 s."""
    return [block.alice for _ in range(works) for block in making.work(8, NO_ATTACK, True).blocks]


def test_its_key_is_the_sections_at_the_rate_that_it_keeps_up() -> None:
    making, shown = maker(models.Steady()), section()
    shown.absorb(making.work(8, NO_ATTACK, True))
    assert shown.state is SectionState.ACTIVE
    assert shown.qber == pytest.approx(0.02, abs=0.001)
    assert shown.skr_bps == 1_600
    assert shown.available_bits == 1_280
    alice, bob = shown.take(160)
    assert alice == bob
    assert not shown.is_secure
    assert section(is_vouched=True).is_secure


def test_nothing_is_given_before_it_is_judged() -> None:
    class Slow(models.Steady):
        disclosed_bps = 400

    making = maker(Slow())
    first = making.work(4, NO_ATTACK, True)
    assert (first.verdicts, first.blocks) == ((), ())
    second = making.work(4, NO_ATTACK, True)
    assert len(second.verdicts) == 1
    assert sum(block.secret_bits for block in second.blocks) == 1_280


def test_what_too_many_errors_were_told_of_is_thrown_away() -> None:
    making, shown = maker(models.Steady()), section()
    shown.absorb(making.work(8, NO_ATTACK, True))
    shown.absorb(making.work(8, TAPPED, True))
    assert (shown.state, shown.stop_reason) == (SectionState.STOPPED, StopReason.TOO_MANY_ERRORS)
    assert shown.skr_bps == 0
    with pytest.raises(SectionStoppedError):
        shown.take(1)
    shown.absorb(making.work(8, NO_ATTACK, False))
    assert shown.available_bits == 1_280  # of before


def test_what_nobody_wants_kept_is_judged_all_the_same() -> None:
    work = maker(models.Steady()).work(1, NO_ATTACK, False)
    assert len(work.verdicts) == 1
    assert work.blocks == ()


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (models.TwoEnded, "ends"), (models.Greedy, "too-much"), (models.Boaster, "forecast"),
        (models.Negative, "forecast"), (models.NoDigits, "malformed"), (models.Repeats, "repeated"),
        (models.Miscounts, "sample"),
    ],
)  # fmt: skip
def test_a_lie_is_refused_by_name_and_stops_the_section(model: Callable[[], Any], code: str) -> None:
    making, shown = maker(model()), section()
    shown.state = SectionState.ACTIVE
    with pytest.raises(KeyMakerError) as refused:
        work_for(making, 3)
    assert refused.value.code == code
    assert "secret" not in str(refused.value)
    shown.refuse(code)
    assert (shown.state, shown.stop_reason) == (SectionState.STOPPED, StopReason.EXTENSION)
    assert shown.refusals == {code: 1}


def test_who_discloses_nothing_is_refused_after_a_while() -> None:
    making = maker(models.Discreet())
    works = int(LONGEST_UNJUDGED_S / 0.8)
    assert work_for(making, works - 1) == []
    with pytest.raises(KeyMakerError, match="unjudged"):
        work_for(making, 2)


def test_a_large_block_may_be_saved_up_for() -> None:
    class Saves(models.Steady):
        steps = 0

        def step(self, dt_s: float, entropy: str) -> Block:
            self.steps += 1
            digits = os.urandom(1_280 * 4 // 8).hex() if self.steps % 4 == 0 else ""
            return Block(digits, digits, 2_000, 10)

    making = maker(Saves())
    made = [block for _ in range(12) for block in making.work(8, NO_ATTACK, True).blocks]
    assert [block.secret_bits for block in made] == [5_120] * 3


def test_a_fast_section_is_asked_in_steps_that_answers_hold() -> None:
    class Fast(models.Steady):
        def rate(self, line: LineView, attack: AttackView) -> Forecast:
            super().rate(line, attack)
            return Forecast(1_000_000.0, 0.02)

        def step(self, dt_s: float, entropy: str) -> Block:
            assert len(entropy) < 10_000
            digits = entropy[: 2 * (int(1_000_000 * dt_s) // 8)]
            return Block(digits, digits, 2_000, 10)

    work = maker(Fast()).work(8, NO_ATTACK, True)
    assert sum(block.secret_bits for block in work.blocks) > 799_000
    assert all(block.secret_bits <= MOST_STEP_BITS for block in work.blocks)
    assert work.secret_bps == pytest.approx(1_000_000, rel=0.001)


def test_a_step_is_of_the_attack_asked_about_last() -> None:
    here = Here(models.Steady())
    ExtensionMaker(here, line_view("s1", "a", "b", Protocol.BB84, CHANNEL), os.urandom).work(1, TAPPED, True)
    assert [call for call, _ in here.asked] == ["rate", "rate", "step"]
    assert here.asked[1][1][1] == AttackView("intercept-resend", 1.0)
