"""The use cases of the KMS, on real sources and a store that can be made to fail."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from kms.admission.key_rate_reservations import Applications
from kms.admission.qkd_capacity import QkdSupply
from kms.delivery.key_delivery import KeyService
from kms.delivery.key_transport import EmbeddedTransport
from kms.delivery.requests import DeliveredKey, EncRequest
from kms.delivery.sae_registry import SaeRegistry
from kms.errors import (
    KeysNotFoundError,
    KmsError,
    NoRouteError,
    RequestError,
    ShortOfKeyError,
    StoreError,
    UnauthorisedError,
)
from kms.keys.changes import Change, SaveDelivery
from kms.keys.inventory import KeyInventory, PoolId
from kms.keys.key import DH, QKD, KeySource
from kms.keys.ledger import Ledger, LedgerEvent
from kms.keys.limits import Limits
from kms.pki.sae_register import IssuedSae
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork, QkdSource
from tests.support.filled_sections import fill, filled_section, stop
from tests.support.parties import parties

EVERY_SOURCE = ("qkd", "qra", "dh", "qkd+qra", "qkd+qra+dh")


class MemoryJournal:
    """Remembers what was written; refuses while ``is_broken``."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.is_broken = False

    async def write(self, changes: Sequence[Change]) -> None:
        await asyncio.sleep(0)
        if self.is_broken:
            raise StoreError("disk full")
        self.changes += changes


class World:
    """Sites a - b - c on two QKD links, and d on none. sae-X lives at X; roamer and late live nowhere."""

    def __init__(self, key_bytes: int = 20_000, can_book: bool = False, **limits: Any) -> None:
        self.now = 1_700_000_000.0
        self.journal = MemoryJournal()
        sections = {"ab": filled_section("ab", "a", "b", key_bytes), "bc": filled_section("bc", "b", "c", key_bytes)}
        self.network = QkdNetwork(sections, [Link("ab", "a", "b", ("ab",)), Link("bc", "b", "c", ("bc",))])
        transport = EmbeddedTransport(parties("abcd"), QkdSource(self.network, os.urandom), lambda: self.now)
        issued = {name: IssuedSae(name, None) for name in ("roamer", "late")}
        sites = ("a", "b", "c", "d")
        self.applications = Applications(QkdSupply(self.network, lambda: self.now), {}, None)
        self.inventory = KeyInventory(16, available_lifetime_s=100.0, awaiting_lifetime_s=50.0)
        self.service = KeyService(
            {site: f"kme-{site}" for site in sites},
            Limits(max_key_count=16, pool_target=8, **limits),
            QKD,
            SaeRegistry({f"sae-{s}": s for s in sites}, {}, frozenset(sites), issued.get),
            transport,
            self.inventory,
            Ledger(),
            self.journal,
            os.urandom,
            lambda: self.now,
            self.applications if can_book else None,
        )

    async def enc(self, site: str, caller: str, slave: str, source: str | None = None, **fields: Any) -> Any:
        request = EncRequest(
            fields.get("number", 1), fields.get("size", 256), fields.get("also", ()),
            KeySource.parse(source) if source else None,
        )  # fmt: skip
        return await self.service.enc_keys(site, caller, slave, request)

    async def dec(self, site: str, caller: str, master: str, keys: Sequence[DeliveredKey]) -> list[DeliveredKey]:
        return await self.service.dec_keys(site, caller, master, [key.key_id for key in keys])


def play(scenario: Callable[[World], Awaitable[None]], **world: Any) -> World:
    created = World(**world)
    asyncio.run(scenario(created))  # type: ignore[arg-type]
    return created


def bits(keys: Sequence[DeliveredKey]) -> list[bytes]:
    return [key.key for key in keys]


@pytest.mark.parametrize("source", EVERY_SOURCE)
@pytest.mark.parametrize("size", [64, 256, 1024])
def test_master_and_slave_get_the_same_keys_once(source: str, size: int) -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-c", source, number=3, size=size)
        twins = await world.dec("c", "sae-c", "sae-a", keys)
        assert bits(twins) == bits(keys)
        assert {len(k.key) * 8 for k in keys} == {size}
        assert len(set(bits(keys))) == 3
        with pytest.raises(KeysNotFoundError):
            await world.dec("c", "sae-c", "sae-a", keys)

    assert play(scenario).inventory.awaiting_count == 0


@pytest.mark.parametrize("source", EVERY_SOURCE)
def test_an_sae_that_was_never_seen_gets_its_key_where_it_shows_up(source: str) -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "late", source, number=2)
        await world.service.admit("c", "late", None)
        assert bits(await world.dec("c", "late", "sae-a", keys)) == bits(keys)

    world = play(scenario)
    debited = 20_000 - len(world.network.sections["ab"].buffer)
    assert (debited > 0) == ("qkd" in source)


def test_a_late_relay_costs_key_on_the_sections_only_when_the_slave_comes() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "late", "qkd")
        assert len(world.network.sections["ab"].buffer) == 20_000
        await world.dec("c", "late", "sae-a", keys)
        for section in world.network.sections.values():
            assert len(section.buffer) == 20_000 - 32 - 32

    play(scenario)


def test_an_sae_that_moved_is_served_at_its_new_place() -> None:
    async def scenario(world: World) -> None:
        await world.service.admit("b", "roamer", None)
        keys = await world.enc("a", "sae-a", "roamer", "qkd")
        await world.service.admit("c", "roamer", None)
        assert bits(await world.dec("c", "roamer", "sae-a", keys)) == bits(keys)
        assert world.service.registry.site_of("roamer") == "c"

    play(scenario)


def test_a_late_key_stays_when_it_cannot_be_brought_now() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "late", "qkd")
        stop(world.network.sections["bc"])
        with pytest.raises(NoRouteError):
            await world.dec("c", "late", "sae-a", keys)
        fill(world.network.sections["bc"], 100)
        assert bits(await world.dec("c", "late", "sae-a", keys)) == bits(keys)

    play(scenario)


def test_two_saes_of_one_site_and_an_sae_with_itself() -> None:
    async def scenario(world: World) -> None:
        await world.service.admit("a", "roamer", None)
        for slave in ("roamer", "sae-a"):
            keys = await world.enc("a", "sae-a", slave)
            assert bits(await world.dec("a", slave, "sae-a", keys)) == bits(keys)

    play(scenario)


@pytest.mark.parametrize("source", EVERY_SOURCE)
def test_multicast_gives_every_slave_the_key_once(source: str) -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", source, also=("sae-c", "late", "sae-a"), number=2)
        await world.service.admit("c", "late", None)
        for site, slave in (("c", "sae-c"), ("c", "late"), ("a", "sae-a"), ("b", "sae-b")):
            assert bits(await world.dec(site, slave, "sae-a", keys)) == bits(keys)
            with pytest.raises(KeysNotFoundError):
                await world.dec(site, slave, "sae-a", keys)

    assert play(scenario).inventory.awaiting_count == 0


def test_who_was_not_named_gets_nothing_and_spoils_nothing() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", "dh")
        with pytest.raises(UnauthorisedError):
            await world.dec("c", "sae-c", "sae-a", keys)
        with pytest.raises(KeysNotFoundError):
            await world.dec("b", "sae-b", "sae-c", keys)
        with pytest.raises(KeysNotFoundError):
            await world.service.dec_keys("b", "sae-b", "sae-a", [keys[0].key_id, uuid.uuid4()])
        assert bits(await world.dec("b", "sae-b", "sae-a", keys)) == bits(keys)

    play(scenario)


def test_two_fetches_at_once_give_the_key_to_one() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", "dh")
        results = await asyncio.gather(
            *(world.dec("b", "sae-b", "sae-a", keys) for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(r, list) for r in results) == 1
        assert sum(isinstance(r, KeysNotFoundError) for r in results) == 4

    play(scenario)


def test_a_store_that_fails_neither_gives_nor_loses_a_key() -> None:
    async def scenario(world: World) -> None:
        pool = await opened_pool(world)
        await world.service.refill(pool, 8)
        held = world.inventory.stored(pool), world.inventory.awaiting_count
        world.journal.is_broken = True
        with pytest.raises(StoreError):
            await world.enc("a", "sae-a", "sae-b", "dh", number=3)
        assert (world.inventory.stored(pool), world.inventory.awaiting_count) == held

        world.journal.is_broken = False
        keys = await world.enc("a", "sae-a", "sae-b", "dh", also=("sae-c",))
        world.journal.is_broken = True
        with pytest.raises(StoreError):
            await world.dec("b", "sae-b", "sae-a", keys)
        world.journal.is_broken = False
        for site in ("b", "c"):
            assert bits(await world.dec(site, f"sae-{site}", "sae-a", keys)) == bits(keys)

    play(scenario)


async def opened_pool(world: World) -> PoolId:
    """The pool between a and b for dh, opened by its first use."""
    await world.enc("a", "sae-a", "sae-b", "dh")
    return PoolId("a", "b", DH)


def test_the_pool_is_used_in_order_and_topped_up_when_it_is_short() -> None:
    async def scenario(world: World) -> None:
        pool = await opened_pool(world)
        assert await world.service.refill(pool, 100) == 8
        first = world.inventory.take(pool, 8)
        world.inventory.give_back(pool, first)
        keys = await world.enc("b", "sae-b", "sae-a", "dh", number=12)
        assert [k.key_id for k in keys[:8]] == [k.key_id for k in first]
        assert bits(await world.dec("a", "sae-a", "sae-b", keys)) == bits(keys)
        assert world.inventory.stored(pool) == 0

    play(scenario)


def test_a_request_waits_a_moment_for_sections_that_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        asyncio.get_running_loop().call_later(0.02, fill, world.network.sections["ab"], 200)
        keys = await world.enc("a", "sae-a", "sae-b")
        assert bits(await world.dec("b", "sae-b", "sae-a", keys)) == bits(keys)
        monkeypatch.setattr("kms.delivery.key_delivery._BETWEEN_ATTEMPTS_S", 0.001)
        with pytest.raises(ShortOfKeyError):
            await world.enc("a", "sae-a", "sae-b", number=100)

    play(scenario, key_bytes=10)


def test_all_keys_of_a_request_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kms.delivery.key_delivery._BETWEEN_ATTEMPTS_S", 0.001)

    async def scenario(world: World) -> None:
        await world.enc("a", "sae-a", "sae-b")
        pool = world.inventory.pool_ids[0]
        await world.service.refill(pool, 5)
        with pytest.raises(ShortOfKeyError):
            await world.enc("a", "sae-a", "sae-b", number=100)
        assert world.inventory.stored(pool) == 5
        assert world.inventory.awaiting_count == 1

    play(scenario, key_bytes=500)


def test_without_a_qkd_route_qkd_is_refused_and_never_replaced() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(RequestError, match="request options could be met"):
            await world.enc("a", "sae-a", "sae-d", "qkd")
        with pytest.raises(KmsError) as caught:
            await world.enc("a", "sae-a", "sae-d")
        assert not isinstance(caught.value, RequestError)
        assert await world.enc("a", "sae-a", "sae-d", "qra")

    play(scenario)


def test_keys_relayed_before_a_section_stopped_are_still_good() -> None:
    async def scenario(world: World) -> None:
        await world.enc("a", "sae-a", "sae-b")
        (pool,) = world.inventory.pool_ids
        await world.service.refill(pool, 2)
        stop(world.network.sections["ab"])
        keys = await world.enc("a", "sae-a", "sae-b", number=2)
        assert bits(await world.dec("b", "sae-b", "sae-a", keys)) == bits(keys)
        with pytest.raises(NoRouteError):
            await world.enc("a", "sae-a", "sae-b")

    play(scenario)


def test_unknown_and_misplaced_saes() -> None:
    async def scenario(world: World) -> None:
        for slave in ("stranger", "../x"):
            with pytest.raises(RequestError, match="unknown SAE"):
                await world.enc("a", "sae-a", slave)
            with pytest.raises(RequestError, match="unknown SAE"):
                world.service.status("a", "sae-a", slave)
        with pytest.raises(RequestError, match="twice"):
            await world.enc("a", "sae-a", "sae-b", also=("sae-b",))
        with pytest.raises(UnauthorisedError, match="not registered"):
            await world.service.admit("a", "stranger", None)
        with pytest.raises(UnauthorisedError, match="bound"):
            await world.service.admit("a", "sae-b", None)
        with pytest.raises(UnauthorisedError, match="bound"):
            await world.service.admit("a", "late", "b")

    play(scenario)


def test_status_counts_what_is_ready() -> None:
    async def scenario(world: World) -> None:
        assert world.service.status("a", "sae-a", "sae-b").stored_key_count == 0
        (pool,) = world.inventory.pool_ids  # asking opened it
        await world.service.refill(pool, 100)
        status = world.service.status("b", "sae-b", "sae-a")
        assert (status.source_kme, status.target_kme) == ("kme-b", "kme-a")
        assert status.stored_key_count == 8
        assert world.service.status("a", "sae-a", "late").stored_key_count <= 16

    play(scenario)


def test_keys_that_nobody_fetches_expire_and_leave_the_store() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", "dh")
        world.now += 49.0
        assert await world.service.expire() == 0
        world.now += 2.0
        assert await world.service.expire() == 1
        with pytest.raises(KeysNotFoundError):
            await world.dec("b", "sae-b", "sae-a", keys)

    world = play(scenario)
    assert any(isinstance(change, SaveDelivery) and not change.keys for change in world.journal.changes)
    assert [e.event for e in world.service.ledger][-1] is LedgerEvent.EXPIRED


def test_undelivered_keys_are_bounded() -> None:
    async def scenario(world: World) -> None:
        await world.enc("a", "sae-a", "sae-b", "dh", number=5)
        with pytest.raises(KmsError, match="wait for their slaves"):
            await world.enc("a", "sae-a", "sae-b", "dh")

    play(scenario, max_awaiting_keys=5)


def test_the_ledger_tells_who_got_what_and_never_the_key() -> None:
    seen: list[bytes] = []

    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", "qra")
        await world.dec("b", "sae-b", "sae-a", keys)
        seen.extend(bits(keys))

    world = play(scenario)
    entries = [each for entry in world.service.ledger for each in entry.to_dicts()]
    assert [(e["event"], e["site"], e["sae"]) for e in entries] == [
        ("delivered-to-master", "a", "sae-a"),
        ("fetched-by-slave", "b", "sae-b"),
    ]
    for text in (str(entries), repr(world.journal.changes)):
        assert repr(seen[0])[2:14] not in text
        assert seen[0].hex() not in text
