"""Permanent work goes on whatever error comes out of it, and an error in one part of it concerns that part alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from kms.background.pool_filler import PoolFiller
from kms.background.supervision import Supervisor
from kms.background.upkeep import RunningSection, SectionRunner
from kms.delivery.key_delivery import KeyService
from kms.distributed.peer_messages import BITS, STATE, NodeReport, Nothing
from kms.distributed.section_replication import SharedSections
from kms.errors import StoreError
from kms.keys.changes import SaveHome
from kms.keys.inventory import PoolId
from kms.keys.key import DH
from kms.persistence.sqlite_store import Journal, KeyStore
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import StopReason
from kms.sources.qkd.pulse_budget import PulseBudget
from kms.sources.qkd.section import Distiller, KeyBuffer, Section, SectionState
from tests.support.running_kms import running_kms
from tests.support.wait import wait_until

FAULTS = (TypeError("nobody listed this"), MemoryError(), KeyError("x"), asyncio.CancelledError(), OSError(24, "files"))
LIGHT = ChannelParameters(length_km=5.0)


async def eventually(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not predicate():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("fault", [*FAULTS, None], ids=lambda fault: type(fault).__name__)
def test_fault_16_work_that_ends_is_begun_anew_and_the_report_says_so(fault: BaseException | None) -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            if fault is not None:
                raise fault
            return
        await asyncio.Event().wait()

    async def play() -> None:
        supervisor = Supervisor()
        supervisor.start("some work", work)
        (report,) = supervisor.reports
        await eventually(lambda: begun == 3)
        assert (report.is_running, report.restarts) == (True, 2)
        assert report.last_error
        await supervisor.close()
        assert not report.is_running

    asyncio.run(play())
    assert begun == 3


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("kms.background.link_watch.Watcher.look", "watch on links and pools"),
        ("kms.background.upkeep.SectionRunner._choose", "QKD sections"),
        ("kms.background.pool_filler.PoolFiller._pause", "pools"),
        ("kms.delivery.key_delivery.KeyService.expire", "expiry of keys"),
    ],
)
def test_fault_16_every_permanent_task_of_a_kms_survives_and_status_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    monkeypatch.setattr("kms.background.pool_filler.EXPIRY_INTERVAL_S", 0.05)
    with running_kms(tmp_path) as world:

        def task() -> dict[str, object]:
            (found,) = [each for each in world.admin("GET", "/v1/status").body["background"] if each["task"] == name]
            return dict(found)

        assert task() == {"task": name, "running": True, "restarts": 0, "last_error": ""}
        with monkeypatch.context() as patch:
            patch.setattr(where, fail_unheard_of)
            wait_until(lambda: task()["restarts"] != 0, 20)
        assert "unheard of" in str(task()["last_error"])
        wait_until(lambda: task()["running"] is True, 20)
        restarts = f'qslice_kms_background_restarts_total{{task="{name}"}}'
        assert restarts in world.admin("GET", "/metrics").body


def fail_unheard_of(*arguments: object) -> object:
    raise RuntimeError("unheard of")


def test_fault_16_a_section_whose_work_fails_is_stopped_and_the_others_go_on() -> None:
    def running(name: str) -> RunningSection:
        section = Section(name, "a", "b", LIGHT, KeyBuffer(1 << 12))
        maker = Distiller(LIGHT, os.urandom, np.random.default_rng(4))
        return RunningSection(section, maker, PulseBudget(1e9, 60.0, 0.0))

    ill, well = running("ill"), running("well")
    ill.section.state = SectionState.ACTIVE
    ill.maker.work = fail_unheard_of  # type: ignore[method-assign, assignment]

    async def play() -> None:
        task = asyncio.create_task(SectionRunner([ill, well]).run())
        await eventually(lambda: len(well.section.buffer) > 0 and not ill.section.is_usable)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())
    assert (ill.section.state, ill.section.stop_reason) == (SectionState.STOPPED, StopReason.FAULT)
    assert well.section.is_usable


class Peers:
    """The other KMEs: b answers what nobody expects, c is well."""

    def __init__(self) -> None:
        self.peers = {"a": None, "b": None, "c": None}
        self.told: list[str] = []

    async def call(self, site: str, method: object, body: object, timeout_s: float = 0.0) -> object:
        if site == "b":
            raise RuntimeError("unheard of")
        self.told.append(site)
        if method is STATE:
            return NodeReport(boot="c since today", hosted={}, sendable={"to-c": 0})
        assert method is BITS
        return Nothing()


def shared() -> tuple[SharedSections, Peers]:
    peers = Peers()
    sections = {}
    for name, far in (("to-b", "b"), ("to-c", "c")):
        section = Section(name, "a", far, LIGHT, KeyBuffer(1 << 16), state=SectionState.ACTIVE)
        section.buffer.put(bits := os.urandom(1 << 15), bits)
        sections[name] = section
    return SharedSections("a", sections, lambda node: node, peers), peers  # type: ignore[arg-type]


def run_until(work: Awaitable[None], predicate: Callable[[], bool]) -> None:
    async def play() -> None:
        task = asyncio.ensure_future(work)
        await eventually(lambda: predicate() or task.done())
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())


def test_fault_16_what_one_kme_answers_does_not_end_the_watch_on_the_others() -> None:
    sections, peers = shared()
    run_until(sections.look(lambda site: None), lambda: peers.told.count("c") >= 2)


def test_fault_16_a_section_that_cannot_be_dealt_out_does_not_hold_up_the_others() -> None:
    sections, peers = shared()
    sections._boots = {"b": "1", "c": "1"}
    run_until(sections.pump(), lambda: "c" in peers.told and sections.pads["to-c"].sendable > 0)
    assert sections.pads["to-b"].sendable == 0


def test_fault_16_a_pool_that_cannot_be_filled_does_not_keep_the_others_empty() -> None:
    ill, well = PoolId("a", "b", DH), PoolId("a", "c", DH)

    class Service:
        class Inventory:
            pool_ids = (ill, well)

            def stored(self, pool_id: PoolId) -> int:
                return 0

        class Limits:
            pool_target = 4

        inventory, limits = Inventory(), Limits()
        filled: list[PoolId] = []  # noqa: RUF012
        on_pool_used: object = None

        async def refill(self, pool_id: PoolId, batch: int) -> int:
            if pool_id == ill:
                raise RuntimeError("unheard of")
            self.filled.append(pool_id)
            await asyncio.sleep(0)
            return batch

    service = Service()
    stand_in: KeyService = service  # type: ignore[assignment]
    run_until(PoolFiller(stand_in).run(), lambda: len(service.filled) > 3)


def test_fault_16_whoever_waits_for_the_store_is_told_of_any_error_and_is_not_cancelled(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.apply = fail_unheard_of  # type: ignore[method-assign, assignment]

    async def play() -> list[object]:
        journal = Journal(store)
        writes = (journal.write([SaveHome("a", "b")]) for _ in range(3))
        return list(await asyncio.gather(*writes, return_exceptions=True))

    assert [type(result) for result in asyncio.run(play())] == [StoreError] * 3
