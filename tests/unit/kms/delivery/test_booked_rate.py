"""What is booked of QKD sections, and what an SAE may take, holds for every way of asking, crossing by crossing."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.admission.key_rate_reservations import PROTECTED_S, Applications, AppQos, QkdApp
from kms.admission.qkd_capacity import QkdSupply
from kms.admission.token_bucket import BURST_S
from kms.delivery import key_delivery
from kms.delivery.key_delivery import KeyService
from kms.delivery.key_transport import EmbeddedTransport
from kms.delivery.requests import DeliveredKey, EncRequest
from kms.delivery.sae_registry import SaeRegistry
from kms.errors import ExhaustedError, KeysNotFoundError, RequestError
from kms.keys.inventory import KeyInventory, PoolId
from kms.keys.key import QKD, KeySource, RelayKind
from kms.keys.ledger import Ledger
from kms.keys.limits import Limits
from kms.pki.sae_register import IssuedSae
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork, QkdSource
from kms.sources.qkd.post_processing.authentication import ONE_TIME_KEY_BYTES
from tests.support.filled_sections import filled_section
from tests.support.parties import parties
from tests.unit.kms.delivery.test_service import MemoryJournal

ENDS = {"ab": ("a", "b"), "bc": ("b", "c"), "ad": ("a", "d"), "dc": ("d", "c")}
TAG_BITS = 8 * ONE_TIME_KEY_BYTES
BOOKED_BPS = 1_000.0
PROTECTED = PROTECTED_S * 2 * BOOKED_BPS  # bits of section ab: every bit with its tag costs two


class Ring:
    """Sites a - b - c - d - a; sae-X lives at X, eve at a, and late and roamer nowhere. Nothing is made in background.

    sae-a has BOOKED_BPS with sae-b booked, unless nothing is.
    """

    def __init__(self, key_bytes: int = 4_000, is_booked: bool = True, quotas: dict[str, float] | None = None) -> None:
        self.now = 1_700_000_000.0
        sections = {name: filled_section(name, *ends, key_bytes) for name, ends in ENDS.items()}
        self.network = QkdNetwork(sections, [Link(name, *ends, (name,)) for name, ends in ENDS.items()])
        self.applications = Applications(QkdSupply(self.network, lambda: self.now), quotas or {}, None)
        issued = {name: IssuedSae(name, None) for name in ("late", "roamer")}
        homes = {**{f"sae-{site}": site for site in "abcd"}, "eve": "a"}
        self.inventory = KeyInventory(64, 1e6, 1e6)
        self.service = KeyService(
            {site: f"kme-{site}" for site in "abcd"},
            Limits(max_key_count=64, pool_target=32, max_sae_id_count=8),
            QKD,
            SaeRegistry(homes, {}, frozenset("abcd"), issued.get),
            EmbeddedTransport(parties("abcd"), QkdSource(self.network, os.urandom), lambda: self.now),
            self.inventory,
            Ledger(),
            MemoryJournal(),
            os.urandom,
            lambda: self.now,
            self.applications,
        )
        if is_booked:
            self.book("sae-a", "sae-b", BOOKED_BPS, 5)

    def book(self, master: str, slave: str, rate: float, priority: int) -> None:
        sites = tuple(self.service.registry.site_of(sae) or "" for sae in (master, slave))
        app = QkdApp(uuid.uuid4(), master, (slave,), QKD, sites, AppQos(rate, 1e12), priority)
        self.applications.admit(app, self.now)

    def left(self, section: str = "ab") -> int:
        return self.network.sections[section].available_bits

    def stock(self) -> dict[str, int]:
        return {name: self.left(name) for name in ENDS}

    async def ask(self, master: str, *slaves: str, **fields: Any) -> list[DeliveredKey]:
        request = EncRequest(
            fields.pop("number", 1), fields.pop("size", 256), slaves[1:],
            KeySource.parse(fields.pop("source", "qkd")), **fields,
        )  # fmt: skip
        site = self.service.registry.site_of(master) or "a"
        return await self.service.enc_keys(site, master, slaves[0], request)

    async def fetch(self, slave: str, site: str, master: str, keys: Sequence[DeliveredKey]) -> list[DeliveredKey]:
        if self.service.registry.site_bound_to(slave) is None:
            await self.service.admit(site, slave, None)
        return await self.service.dec_keys(site, slave, master, [key.key_id for key in keys])


def play(scenario: Callable[[Ring], Awaitable[None]], **ring: Any) -> None:
    async def run() -> None:
        await scenario(Ring(**ring))

    before = key_delivery._ATTEMPTS
    key_delivery._ATTEMPTS = 1
    try:
        asyncio.run(run())
    finally:
        key_delivery._ATTEMPTS = before


async def multicast(ring: Ring) -> None:
    await ring.ask("eve", "sae-a", "sae-b")


async def multicast_backwards(ring: Ring) -> None:
    """Over the same section the other way round, and only for the last of the slaves."""
    await ring.ask("sae-b", "sae-c", "sae-d", "eve")


async def homeless(ring: Ring) -> None:
    keys = await ring.ask("eve", "late")
    await ring.fetch("late", "b", "eve", keys)


async def moved(ring: Ring) -> None:
    await ring.service.admit("a", "roamer", None)
    keys = await ring.ask("eve", "roamer")
    await ring.fetch("roamer", "b", "eve", keys)


async def disjoint(ring: Ring) -> None:
    await ring.ask("eve", "sae-c", disjoint_relays=2)


async def by_route(ring: Ring) -> None:
    await ring.ask("eve", "sae-b", route=RelayKind.DIRECT)


async def hybrid(ring: Ring) -> None:
    await ring.ask("eve", "sae-b", source="qkd+dh")


async def hybrid_homeless(ring: Ring) -> None:
    keys = await ring.ask("eve", "late", source="qkd+dh")
    await ring.fetch("late", "b", "eve", keys)


async def pool(ring: Ring) -> None:
    """Whoever asks for a pool's status opens it, and it is filled."""
    ring.service.status("a", "eve", "sae-b")
    if not await ring.service.refill(PoolId("a", "b", QKD), 1):
        raise ExhaustedError("the pool is full")
    ring.inventory.take(PoolId("a", "b", QKD), 1)


WAYS = (
    multicast, multicast_backwards, homeless, moved, disjoint, by_route, hybrid, hybrid_homeless, pool,
)  # fmt: skip


async def repeat(ring: Ring, way: Callable[[Ring], Awaitable[None]]) -> int:
    """Until it is refused; how often it was not."""
    for count in range(2_000):
        try:
            await way(ring)
        except ExhaustedError:
            return count
    raise AssertionError("it is never refused")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_fault_04_without_a_booking_every_way_drains_the_section(way: Callable[[Ring], Awaitable[None]]) -> None:
    async def scenario(ring: Ring) -> None:
        await repeat(ring, way)
        assert min(ring.stock().values()) < PROTECTED

    play(scenario, is_booked=False)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_fault_04_no_way_of_asking_takes_what_is_booked(way: Callable[[Ring], Awaitable[None]]) -> None:
    async def scenario(ring: Ring) -> None:
        assert await repeat(ring, way) > 0
        assert ring.left() >= PROTECTED
        # And it is there for whom it is booked.
        keys = await ring.ask("sae-a", "sae-b", number=4)
        assert len(await ring.fetch("sae-b", "b", "sae-a", keys)) == 4

    play(scenario)


def test_fault_04_an_application_takes_at_its_priority_what_it_booked_and_no_more() -> None:
    async def one_more(ring: Ring) -> None:
        await ring.ask("eve", "sae-b")

    async def scenario(ring: Ring) -> None:
        ring.book("eve", "sae-b", 1.0, 200)  # nearly nothing, at a higher priority than anybody's
        assert await repeat(ring, one_more) > 16  # a bucket's least depth, and then what is kept for nobody
        assert ring.left() >= PROTECTED

    play(scenario)

    async def booked(ring: Ring) -> None:
        await ring.ask("sae-a", "sae-b")

    async def poor(ring: Ring) -> None:
        assert ring.left() == 8_000
        assert await repeat(ring, booked) >= 8_000 // 512
        assert ring.left() < 512  # what is kept for it, it may have to the last bit

    play(poor, key_bytes=1_000)


@pytest.mark.parametrize("way", [w for w in WAYS if w is not pool], ids=lambda way: way.__name__)
def test_fault_04_a_quota_counts_every_crossing_for_whoever_causes_it(way: Callable[[Ring], Awaitable[None]]) -> None:
    quota = 20_000.0
    saes = ("sae-a", "sae-b", "eve", "late", "roamer")

    async def scenario(ring: Ring) -> None:
        before = ring.stock()
        try:
            await repeat(ring, way)
        finally:
            taken = sum(before.values()) - sum(ring.stock().values())
        # Two may have had a part in it (a master and a slave), each of them by its burst and one request.
        assert 0 < taken <= 2 * (BURST_S * quota + 8 * 2 * (1024 + TAG_BITS))

    play(scenario, is_booked=False, key_bytes=200_000, quotas=dict.fromkeys(saes, quota))


def test_fault_04_keys_out_of_a_pool_count_as_what_the_pool_took_for_them() -> None:
    async def scenario(ring: Ring) -> None:
        ring.service.status("a", "eve", "sae-b")
        given = 0

        async def take(ring: Ring) -> None:
            nonlocal given
            await ring.service.refill(PoolId("a", "b", QKD), 32)
            given += len(await ring.ask("eve", "sae-b"))

        await repeat(ring, take)
        # A key of one crossing: its bits, and as many of the section.
        assert given * 512 <= BURST_S * 2_000.0 + 512

    play(scenario, is_booked=False, key_bytes=200_000, quotas={"eve": 2_000.0})


_SAES = ("sae-a", "sae-b", "sae-c", "sae-d", "eve", "late", "roamer")
_REQUEST = st.tuples(
    st.sampled_from(["sae-a", "sae-b", "sae-c", "sae-d", "eve"]),
    st.lists(st.sampled_from(_SAES), min_size=1, max_size=4, unique=True),
    st.integers(1, 8), st.sampled_from([64, 256, 512]), st.sampled_from(["qkd", "qkd+dh"]), st.integers(1, 2),
    st.sampled_from("abcd"), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(_REQUEST, min_size=5, max_size=40))
def test_fault_04_whatever_is_asked_for_what_is_booked_stays(requests: list[Any]) -> None:
    async def scenario(ring: Ring) -> None:
        for master, slaves, number, size, source, relays, site, fills in requests:
            if {master, "sae-a", "sae-b"} >= {*slaves, master} and source == "qkd":
                continue  # the application itself
            if master in ("sae-a", "sae-b") and {"sae-a", "sae-b"} & set(slaves) and source == "qkd":
                continue  # with it, the booked pair takes of what is its own
            try:
                if fills:
                    for pool_id in ring.inventory.pool_ids:
                        await ring.service.refill(pool_id, 8)
                keys = await ring.ask(
                    master, *slaves, number=number, size=size, source=source, disjoint_relays=relays
                )  # fmt: skip
                for slave in slaves:
                    at = ring.service.registry.site_bound_to(slave) or site
                    await ring.fetch(slave, at, master, keys)
            except (ExhaustedError, RequestError, KeysNotFoundError):
                continue
            finally:
                assert ring.left() >= PROTECTED
        taken = Counter(ring.stock())
        await ring.ask("sae-a", "sae-b", size=264)  # of no pool
        assert ring.left() < taken["ab"]

    play(scenario)
