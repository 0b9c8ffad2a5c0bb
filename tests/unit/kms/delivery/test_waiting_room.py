"""Room for keys that wait for their slaves: who never fetches them fills a share, and stops nobody else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kms.admission.key_rate_reservations import AppQos, QkdApp
from kms.errors import NoRoomError
from kms.keys.key import DH, Delivery, Key
from kms.keys.waiting_counts import Amount
from tests.unit.kms.delivery.test_service import World

# Shares of a hundred keys, in requests of four at most.
ROOM = {
    "max_awaiting_keys": 100, "max_awaiting_bits": 25_600, "max_key_per_request": 4, "awaiting_share_of_sae": 0.5,
    "awaiting_share_of_pair": 0.25, "awaiting_share_booked": 0.25,
}  # fmt: skip
NO_SHARES = {**ROOM, "awaiting_share_of_sae": 1.0, "awaiting_share_of_pair": 1.0, "awaiting_share_booked": 0.0}


def play(scenario: Callable[[World], Awaitable[None]], **limits: Any) -> World:
    async def run() -> World:
        world = World(can_book=True, **{**ROOM, **limits})
        await scenario(world)
        return world

    return asyncio.run(run())


async def flood(world: World, master: str = "sae-a", slave: str = "sae-b", size: int = 256) -> int:
    """Ask until nothing more is given, from the master's site, and fetch nothing; how many keys that were."""
    taken = 0
    while True:
        try:
            taken += len(await world.enc(master[-1], master, slave, "dh", number=4, size=size))
        except NoRoomError:
            return taken


def book(world: World, master: str = "sae-a", slave: str = "sae-b", priority: int = 1) -> None:
    app = QkdApp(uuid.uuid4(), master, (slave,), DH, (master[-1], slave[-1]), AppQos(1e6, 1e12), priority)
    world.applications.admit(app, world.now)


def test_fault_03_with_no_shares_one_sae_stops_every_other_at_every_site() -> None:
    async def scenario(world: World) -> None:
        assert await flood(world) == 100
        for master, slave in (("sae-a", "sae-c"), ("sae-b", "sae-c"), ("sae-c", "sae-d"), ("sae-d", "sae-a")):
            with pytest.raises(NoRoomError):
                await world.enc(master[-1], master, slave, "dh")

    play(scenario, **NO_SHARES)


@pytest.mark.parametrize(("size", "of_pair", "of_sae"), [(256, 24, 48), (1024, 4, 12), (64, 24, 48)])
def test_fault_03_a_pair_and_an_sae_fill_their_shares_in_keys_and_in_bits(size: int, of_pair: int, of_sae: int) -> None:
    async def scenario(world: World) -> None:
        assert await flood(world, "sae-a", "sae-b", size) == of_pair
        # The master's other slaves have room, up to the share of the master.
        assert (
            of_pair + await flood(world, "sae-a", "sae-c", size) + await flood(world, "sae-a", "sae-d", size) == of_sae
        )
        # And whoever it is elsewhere is served.
        for master, slave in (("sae-b", "sae-c"), ("sae-c", "sae-d"), ("sae-d", "sae-a")):
            keys = await world.enc(master[-1], master, slave, "dh", number=4, size=size)
            assert len(await world.dec(slave[-1], slave, master, keys)) == 4

    play(scenario)


def test_fault_03_all_saes_together_leave_the_room_of_booked_applications() -> None:
    async def scenario(world: World) -> None:
        for master in "abcd":
            for slave in "abcd".replace(master, ""):
                await flood(world, f"sae-{master}", f"sae-{slave}")
        assert world.inventory.awaiting_count == 72
        assert await flood(world, "sae-a", "sae-d") == 0
        book(world, slave="sae-d", priority=0)  # a client's own (ETSI 004) books no room
        assert await flood(world, "sae-a", "sae-d") == 0
        book(world, slave="sae-d")
        book(world, slave="sae-b")  # that pair has filled its share itself, and gets no more by a booking
        assert await flood(world, "sae-a", "sae-b") == 0
        keys = await world.enc("a", "sae-a", "sae-d", "dh", number=4)
        assert len(await world.dec("d", "sae-d", "sae-a", keys)) == 4

    play(scenario)


def test_fault_03_requests_at_once_get_no_more_than_one_after_the_other() -> None:
    async def scenario(world: World) -> None:
        asked = [world.enc("a", "sae-a", "sae-b", "dh", number=4) for _ in range(40)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, list) for each in answers) == 6
        assert all(isinstance(each, list | NoRoomError) for each in answers)
        assert world.inventory.awaiting_count == 24

    play(scenario)


def test_fault_03_what_is_fetched_expires_or_fails_gives_its_room_back() -> None:
    async def scenario(world: World) -> None:
        for _ in range(30):
            keys = await world.enc("a", "sae-a", "sae-b", "dh", also=("sae-c", "late"), number=4)
            for site in "bc":
                await world.dec(site, f"sae-{site}", "sae-a", keys)
            await world.service.admit("a", "late", None)
            await world.dec("a", "late", "sae-a", keys)
        await flood(world)
        world.now += 51.0
        await world.service.expire()
        world.journal.is_broken = True
        for _ in range(30):
            with pytest.raises(Exception, match="disk full"):
                await world.enc("a", "sae-a", "sae-b", "dh", number=4)
        world.journal.is_broken = False
        counts = world.inventory.waiting
        assert (counts.total.keys, counts.total.bits, counts._by_master, counts._by_pair) == (0, 0, {}, {})
        assert await flood(world) == 24

    play(scenario)


def test_fault_03_a_kme_without_room_leaves_the_keys_that_it_is_to_keep_for_another_where_they_are() -> None:
    async def scenario(world: World) -> None:
        taken: list[str] = []

        async def entrust(number: int, is_booked: bool) -> None:
            ids = [uuid.uuid4() for _ in range(number)]
            delivery = Delivery(uuid.uuid4(), "sae-a", "a", frozenset({"sae-b", "sae-c"}), world.now)

            def take() -> list[Key]:
                taken.append("taken")
                return [Key(key_id, DH, 256, world.now, {"b": bytes(32)}) for key_id in ids]

            await world.service.accept("b", delivery, take, Amount(number, 256 * number), delivery.named, is_booked)

        await entrust(24, is_booked=False)
        for is_booked in (False, True):  # the pair's share is full
            with pytest.raises(NoRoomError):
                await entrust(2, is_booked)
        assert (len(taken), world.inventory.awaiting_count) == (1, 24)

    play(scenario)
