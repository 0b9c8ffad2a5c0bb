"""Silence from everywhere at once is not believed; that of one failure is, at once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.request import Protection
from controller.monitoring.alarm_suppression import CALM_S, MAX_SLOWDOWN, RECOVERY_S, TOGETHER_S
from controller.monitoring.bfd_intervals import HASTEN_AFTER_S, IDLE, PACES, SLOWEST_MS, Pace, WatchPlan, wanted_paces
from controller.monitoring.link_state import LinkMonitor
from topologies.catalog import metro_ring

TOPOLOGY = metro_ring()
LIT = [c for c in TOPOLOGY.channels if not c.dark]
FAR_APART = [
    "cell1-agg1-dh",
    "cell2-agg2-dh",
    "metro1-core1-dh",
    "metro3-core2-dh",
    "metro2-core1-qkd",
    "agg1-agg2-qra",
]
HOLD_DOWN_S = 1.0


@pytest.fixture
def links() -> LinkMonitor:
    return LinkMonitor(TOPOLOGY, HOLD_DOWN_S)


def fall_silent(links: LinkMonitor, channel: str, now: float, *, has_carrier: bool = True) -> dict[str, bool]:
    changed: dict[str, bool] = {}
    for site in TOPOLOGY.channel(channel).ends:
        changed |= links.report(site, TOPOLOGY.port_of(site, channel).number, False, now, has_carrier=has_carrier)
    return changed


def revive(links: LinkMonitor, channel: str, now: float) -> None:
    for site in TOPOLOGY.channel(channel).ends:
        links.report(site, TOPOLOGY.port_of(site, channel).number, True, now)


def starve(links: LinkMonitor, now: float = 100.0) -> None:
    for channel in FAR_APART:
        fall_silent(links, channel, now)
    assert links.is_starving


def test_a_few_black_holes_are_believed_at_once(links: LinkMonitor) -> None:
    for channel in FAR_APART[:4]:
        assert fall_silent(links, channel, 100.0) == {channel: False}
    assert not links.is_starving
    assert links.silent == set(FAR_APART[:4])
    assert links.due(100.0 + 60.0) == {}


@pytest.mark.parametrize("site", ["agg1", "metro2"])
def test_all_channels_of_one_site_are_believed(links: LinkMonitor, site: str) -> None:
    around = [c.id for c in LIT if site in c.ends]
    assert len(around) > 8
    for channel in around:
        assert fall_silent(links, channel, 100.0) == {channel: False}
    assert not links.is_starving


def test_silence_from_everywhere_is_taken_back_and_nothing_more_believed(links: LinkMonitor) -> None:
    believed: dict[str, bool] = {}
    for n, channel in enumerate(FAR_APART):
        believed |= fall_silent(links, channel, 100.0 + n * 0.01)
    assert links.is_starving
    assert all(believed.values()), "those believed first are up again without a hold-down: nothing had happened"
    assert all(links.is_up(c) for c in FAR_APART)
    assert links.silent == frozenset()
    assert fall_silent(links, "metro1-metro2-qra", 101.0) == {}
    assert links.is_up("metro1-metro2-qra")


def test_what_comes_one_by_one_is_believed(links: LinkMonitor) -> None:
    for n, channel in enumerate(FAR_APART):
        assert fall_silent(links, channel, 100.0 + n * (TOGETHER_S + 0.1) / 2) == {channel: False}
    assert not links.is_starving


def test_loss_of_carrier_is_certain_all_the_same(links: LinkMonitor) -> None:
    starve(links)
    assert fall_silent(links, "agg2-metro2-qra", 100.5, has_carrier=False) == {"agg2-metro2-qra": False}
    assert fall_silent(links, FAR_APART[0], 100.6, has_carrier=False) == {FAR_APART[0]: False}
    assert not links.is_up(FAR_APART[0])
    revive(links, FAR_APART[0], 101.0)
    assert links.due(101.0 + HOLD_DOWN_S) == {FAR_APART[0]: True}


def test_a_failure_from_before_stays_one(links: LinkMonitor) -> None:
    fall_silent(links, "metro1-metro3-dh", 100.0 - TOGETHER_S - 1.0)
    starve(links)
    assert not links.is_up("metro1-metro3-dh")
    assert links.due(102.0) == {}
    revive(links, "metro1-metro3-dh", 103.0)
    assert links.due(103.0 + HOLD_DOWN_S) == {"metro1-metro3-dh": True}


def test_what_is_still_silent_when_it_is_calm_is_believed(links: LinkMonitor) -> None:
    starve(links)
    for channel in FAR_APART[1:]:
        revive(links, channel, 101.0)
    assert links.due(100.0 + CALM_S - 0.1) == {}
    assert links.due(100.0 + CALM_S) == {FAR_APART[0]: False}
    assert not links.is_starving
    assert fall_silent(links, FAR_APART[1], 120.0) == {FAR_APART[1]: False}


def test_carrier_that_returns_suffices_while_nobody_is_heard_anyway(links: LinkMonitor) -> None:
    fall_silent(links, "agg2-metro2-qra", 50.0, has_carrier=False)
    starve(links)
    fall_silent(links, "agg2-metro2-qra", 101.0)  # carrier, and no session yet
    assert links.due(101.0 + HOLD_DOWN_S) == {"agg2-metro2-qra": True}


def test_a_spare_may_be_lit_by_its_carrier_while_nobody_is_heard_anyway(links: LinkMonitor) -> None:
    spare = next(c.id for c in TOPOLOGY.channels if c.dark)
    fall_silent(links, spare, 90.0, has_carrier=False)
    starve(links)
    links.begin_activation(spare)
    assert not links.is_activated(spare)
    fall_silent(links, spare, 100.5)
    assert links.is_activated(spare)
    links.set_lit(spare)
    assert links.is_up(spare)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(LIT), st.integers(0, 1), st.sampled_from(["live", "silent", "cut"]), st.floats(0, 3)),
        max_size=60,
    )
)
def test_what_is_told_is_what_is_and_it_ends_right(events: list[tuple[object, int, str, float]]) -> None:
    """Whoever adds up the changes knows the states; with all ends live and calm, everything is up."""
    links, told, now = LinkMonitor(TOPOLOGY, HOLD_DOWN_S), {c.id: True for c in LIT}, 0.0
    for channel, end, what, pause in events:
        now += pause
        site = channel.ends[end]  # type: ignore[attr-defined]
        number = TOPOLOGY.port_of(site, channel.id).number  # type: ignore[attr-defined]
        told |= links.due(now)
        told |= links.report(site, number, what == "live", now, has_carrier=what == "silent")
        assert told == {c.id: links.is_up(c.id) for c in LIT}
    for channel in LIT:
        for site in channel.ends:
            told |= links.report(site, TOPOLOGY.port_of(site, channel.id).number, True, now)
    told |= links.due(now + CALM_S)
    told |= links.due(now + CALM_S + HOLD_DOWN_S)
    assert all(told.values())
    assert not links.is_starving


# --- the watch itself ------------------------------------------------------------------------------------------------


def test_starving_switches_are_watched_less_often_and_again_as_before(links: LinkMonitor) -> None:
    assert links.slowdown == 1
    slowed = []
    for n in range(4):
        starve(links, 100.0 + 20 * n)
        slowed.append(links.slowdown)
        for channel in FAR_APART:
            revive(links, channel, 101.0 + 20 * n)
        links.due(100.0 + 20 * n + CALM_S)
    assert slowed[0] > 1
    assert all(a <= b for a, b in pairwise(slowed))
    assert slowed[-1] == MAX_SLOWDOWN
    now = 160.0
    while links.slowdown > 1:
        now += RECOVERY_S / 10
        links.due(now)
        assert now < 160.0 + 4 * RECOVERY_S
    assert links.slowdown == 1


def test_a_slower_pace_is_told_without_waiting_while_they_starve() -> None:
    quick, slow = PACES[Protection.ONE_TO_ONE], PACES[Protection.ONE_TO_ONE].slowed(4)
    assert slow == Pace(quick.interval_ms * 4, quick.multiplier)
    for is_starving in (True, False):
        plan = WatchPlan()
        plan.told({"x": quick})
        plan.changes({"x": slow}, 10.0, is_starving=is_starving)
        due = plan.changes({"x": slow}, 10.0 + HASTEN_AFTER_S, is_starving=is_starving)
        assert due == ({"x": slow} if is_starving else {})


def test_no_pace_gets_slower_than_can_still_be_called_watching() -> None:
    assert IDLE.slowed(MAX_SLOWDOWN).interval_ms == SLOWEST_MS
    assert set(wanted_paces(TOPOLOGY, [], 16).values()) == {IDLE.slowed(16)}
    assert all(p.slowed(1) == p for p in PACES.values())
