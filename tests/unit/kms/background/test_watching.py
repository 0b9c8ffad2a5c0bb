"""What is told of links, and how full a pool is said to be."""

from __future__ import annotations

import asyncio

import pytest

from kms.background.link_watch import LinkView, link_changes
from kms.event_log import EventLog, Notification
from kms.keys.inventory import PoolState

DOWN, PERFORMANCE, OVERLOADED = Notification.LINK_DOWN, Notification.LINK_PERF_UPDATE, Notification.LINK_OVERLOADED
GOOD = LinkView(True, 1_000.0, 100.0)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, GOOD, []),
        (GOOD, GOOD, []),
        (GOOD, LinkView(True, 900.0, 100.0), []),
        (GOOD, LinkView(True, 700.0, 100.0), [PERFORMANCE]),
        (GOOD, LinkView(False, 0.0, 100.0), [DOWN]),
        (LinkView(False, 0.0, 100.0), GOOD, [PERFORMANCE]),
        (GOOD, LinkView(True, 1_000.0, 1_001.0), [OVERLOADED]),
        (GOOD, LinkView(True, 90.0, 100.0), [PERFORMANCE, OVERLOADED]),
        (LinkView(True, 90.0, 100.0), LinkView(True, 90.0, 100.0), []),
    ],
)
def test_what_is_told_of_a_link(before: LinkView | None, now: LinkView, told: list[Notification]) -> None:
    assert [kind for kind, _ in link_changes("x", before, now)] == told


@pytest.mark.parametrize(
    ("stored", "state"),
    [(0, "EMPTY"), (1, "CHARGING"), (7, "CHARGING"), (8, "WARNING"), (15, "WARNING"), (16, "READY")],
)
def test_watermarks(stored: int, state: str) -> None:
    assert PoolState.of(stored, 32).value == state


def test_events_are_numbered_kept_and_waited_for() -> None:
    async def play() -> None:
        log = EventLog()
        log.tell(1.0, DOWN, qkdl_id="x")
        changed = log.changed()
        waiting = asyncio.create_task(changed.wait())
        log.tell(2.0, PERFORMANCE, qkdl_id="x")
        await asyncio.wait_for(waiting, 1)
        assert [event.number for event in log.since(0)] == [1, 2]
        assert [event.to_dict()["event"] for event in log.since(1)] == ["link_perf_update"]

    asyncio.run(play())
