"""Key streams of ETSI 004: both ends get the same chunks under the same indices, and every status of the standard."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kms.admission.key_rate_reservations import AppQos, AppStatus, QkdApp
from kms.delivery.key_stream import KeyStream, Qos, Status, StreamClient
from kms.delivery.stream_service import KeyStreams, Opened
from kms.errors import PeerUnavailableError, UnauthorisedError
from kms.keys.key import QKD
from kms.keys.limits import StreamTerms
from tests.support.filled_sections import fill, stop
from tests.unit.kms.delivery.test_service import World

QOS = Qos(key_chunk_size=32, max_bps=10_000_000)


class Streams(World):
    def __init__(self, key_bytes: int = 20_000) -> None:
        super().__init__(key_bytes, can_book=True)
        self.terms: dict[str, StreamTerms] = {}
        self.streams = KeyStreams(
            self.service, self.applications, uuid.uuid4, lambda: self.now,
            terms=lambda sae: self.terms.get(sae, StreamTerms()), lease_s=60.0,
        )  # fmt: skip

    def book(self, rate: float, priority: int = 1) -> QkdApp:
        """As the operator does, for others at the sites of sae-a and sae-b."""
        app = QkdApp(uuid.uuid4(), "other-a", ("other-b",), QKD, ("a", "b"), AppQos(rate, 1e12), priority)
        self.applications.admit(app, self.now)
        return app

    async def joined(self, qos: Qos = QOS) -> uuid.UUID:
        opened = await self.streams.open_connect("sae-a", "sae-b", qos, None)
        assert opened.status is Status.PEER_NOT_CONNECTED
        assert opened.key_stream_id is not None
        assert (await self.streams.open_connect("sae-b", "sae-a", qos, opened.key_stream_id)).status is Status.OK
        return opened.key_stream_id


def play(scenario: Callable[[Streams], Awaitable[None]], **world: int) -> None:
    async def run() -> None:
        await scenario(Streams(**world))

    asyncio.run(run())


@pytest.mark.parametrize("chunk_bytes", [8, 32, 128, 200, 1_000])
def test_both_ends_get_the_same_whoever_asks_first(chunk_bytes: int) -> None:
    async def scenario(world: Streams) -> None:
        stream = await world.joined(Qos(chunk_bytes, 10**9))
        chunks: dict[str, list[bytes]] = {"a": [], "b": []}
        for order in ("ab", "ba", "ab"):
            for site in order:
                chunk = await world.streams.get_key(site, f"sae-{site}", stream, None, 64)
                assert chunk.status is Status.OK
                assert chunk.metadata is not None
                assert chunk.metadata.source == QKD
                chunks[site].append(chunk.key_buffer)
        assert chunks["a"] == chunks["b"]
        assert {len(chunk) for chunk in chunks["a"]} == {chunk_bytes}
        assert len(set(chunks["a"])) == 3

    play(scenario)


def test_both_ends_at_once() -> None:
    async def scenario(world: Streams) -> None:
        stream = await world.joined()
        first, second = await asyncio.gather(
            world.streams.get_key("a", "sae-a", stream, 0, 0), world.streams.get_key("b", "sae-b", stream, 0, 0)
        )
        assert first.status is second.status is Status.OK
        assert first.key_buffer == second.key_buffer

    play(scenario)


class KeeperThatGoes:
    """A stream that another KME keeps, which is gone when it is to be told that a chunk was fetched."""

    def __init__(self, kept: KeyStream) -> None:
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)

    async def fetched(self, caller: str, index: int) -> None:
        raise PeerUnavailableError("the KME does not answer")


class Remote:
    def __init__(self, streams: KeyStreams) -> None:
        self._streams = streams

    async def join(
        self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID, likely: str | None
    ) -> tuple[Opened, StreamClient]:
        opened = self._streams.connect(caller, destination, qos, key_stream_id)
        kept = self._streams.kept(key_stream_id)
        assert kept is not None
        return opened, KeeperThatGoes(kept)


def test_a_chunk_that_was_fetched_is_given_also_when_who_keeps_the_stream_does_not_hear_of_it() -> None:
    async def scenario(world: Streams) -> None:
        opened = await world.streams.open_connect("sae-a", "sae-b", QOS, None)
        stream = opened.key_stream_id
        assert stream is not None
        there = KeyStreams(world.service, world.applications, uuid.uuid4, lambda: world.now, Remote(world.streams))
        assert (await there.open_connect("sae-b", "sae-a", QOS, stream)).status is Status.OK
        first = await world.streams.get_key("a", "sae-a", stream, 0, 0)
        second = await there.get_key("b", "sae-b", stream, 0, 0)
        assert first.status is second.status is Status.OK
        assert first.key_buffer == second.key_buffer

    play(scenario)


def test_one_end_ahead_and_a_chunk_once() -> None:
    async def scenario(world: Streams) -> None:
        stream = await world.joined()
        ahead = [await world.streams.get_key("a", "sae-a", stream, None, 0) for _ in range(3)]
        second = await world.streams.get_key("b", "sae-b", stream, 1, 0)
        assert second.key_buffer == ahead[1].key_buffer
        for site in "ab":
            again = await world.streams.get_key(site, f"sae-{site}", stream, 1, 0)
            assert again.status is Status.INSUFFICIENT_KEY
            assert not again.key_buffer

    play(scenario)


def test_the_statuses_of_the_standard() -> None:
    async def scenario(world: Streams) -> None:
        streams = world.streams
        opened = await streams.open_connect("sae-a", "sae-b", QOS, None)
        stream = opened.key_stream_id
        assert stream is not None
        assert (await streams.get_key("a", "sae-a", stream, None, 0)).status is Status.GET_KEY_PEER_ABSENT
        assert (await streams.open_connect("sae-a", "sae-b", QOS, stream)).status is Status.KSID_IN_USE
        assert (await streams.open_connect("sae-c", "sae-b", QOS, stream)).status is Status.KSID_IN_USE
        assert (await streams.open_connect("sae-a", "nobody", QOS, None)).status is Status.NO_LINK
        assert (await streams.open_connect("sae-b", "sae-a", QOS, stream)).status is Status.OK
        assert (await streams.get_key("a", "sae-a", stream, None, 8)).status is Status.METADATA_TOO_SMALL
        assert (await streams.get_key("a", "sae-a", stream, 10_000, 0)).status is Status.INSUFFICIENT_KEY
        stop(world.network.sections["ab"])
        assert (await streams.get_key("a", "sae-a", stream, None, 0)).status is Status.NO_LINK
        with pytest.raises(UnauthorisedError):
            await streams.get_key("c", "sae-c", stream, None, 0)
        with pytest.raises(UnauthorisedError):
            await streams.close("sae-c", stream)
        assert await streams.close("sae-a", stream) is Status.PEER_NOT_CONNECTED
        with pytest.raises(UnauthorisedError):
            await streams.get_key("a", "sae-a", stream, None, 0)
        assert await streams.close("sae-b", stream) is Status.OK
        assert len(world.applications) == 0

    play(scenario)


def test_a_rate_that_is_not_there_is_answered_with_what_is() -> None:
    async def scenario(world: Streams) -> None:
        greedy = Qos(32, max_bps=2 * 10**12, min_bps=10**12)
        opened = await world.streams.open_connect("sae-a", "sae-b", greedy, None)
        assert opened.status is Status.QOS_UNMET
        assert 0 < opened.qos.min_bps < 10**12
        assert (
            await world.streams.open_connect("sae-a", "sae-b", opened.qos, None)
        ).status is Status.PEER_NOT_CONNECTED
        for length, offered in ((4, 8), (1 << 20, 128 * 128)):
            opened = await world.streams.open_connect("sae-a", "sae-b", Qos(length, 100), None)
            assert (opened.status, opened.qos.key_chunk_size) == (Status.QOS_UNMET, offered)

    play(scenario)


def test_what_the_time_limit_overtakes_is_not_lost() -> None:
    async def scenario(world: Streams) -> None:
        stream = await world.joined(Qos(32, 10**9, timeout=20))
        late = await world.streams.get_key("a", "sae-a", stream, None, 0)
        assert late.status is Status.TIMEOUT
        fill(world.network.sections["ab"], 1_000)
        while (chunk := await world.streams.get_key("a", "sae-a", stream, 0, 0)).status is Status.TIMEOUT:
            pass
        assert chunk.status is Status.OK
        assert (await world.streams.get_key("b", "sae-b", stream, 0, 0)).key_buffer == chunk.key_buffer

    play(scenario, key_bytes=10)


def test_a_chunk_does_not_outlive_its_ttl() -> None:
    async def scenario(world: Streams) -> None:
        stream = await world.joined(Qos(32, 10**9, ttl=5))
        await world.streams.get_key("a", "sae-a", stream, 0, 0)
        world.now += 6
        assert (await world.streams.get_key("b", "sae-b", stream, 0, 0)).status is Status.INSUFFICIENT_KEY

    play(scenario)


@pytest.mark.parametrize("asked", [0, 7, 255])
@pytest.mark.parametrize("granted", [None, 0, 7, 255])
def test_fault_05_the_operator_says_what_priority_a_stream_has(asked: int, granted: int | None) -> None:
    async def scenario(world: Streams) -> None:
        if granted is not None:
            world.terms["sae-a"] = StreamTerms(priority=granted)
        opened = await world.streams.open_connect("sae-a", "sae-b", Qos(32, 10**9, 100, priority=asked), None)
        assert opened.qos.priority == min(asked, granted or 0)
        (app,) = world.applications
        assert app.app_priority == opened.qos.priority

    play(scenario)


def test_fault_05_a_client_cannot_put_itself_before_what_is_booked() -> None:
    """With a priority of its own choice, a stream would have all keys of the section, and the booking none."""

    async def scenario(world: Streams) -> None:
        booked = world.book(2_000.0)
        stream = await world.joined(Qos(32, 10**9, priority=255))
        while (await world.streams.get_key("a", "sae-a", stream, None, 0)).status is Status.OK:
            pass
        assert world.network.sections["ab"].available_bits >= 3 * 2 * 2_000
        assert world.applications.status(booked) is AppStatus.ON

    play(scenario, key_bytes=4_000)


def test_fault_05_what_streams_reserve_gives_way_to_what_the_operator_books() -> None:
    async def scenario(world: Streams) -> None:
        nothing = world.book(0.0)
        everything = world.applications.offer_bps(nothing)
        world.applications.release(nothing.app_id)
        reserved = 0
        for opener, peer in (("sae-a", "sae-b"), ("sae-b", "sae-a"), ("sae-a", "sae-b"), ("sae-b", "sae-a")) * 4:
            refused = await world.streams.open_connect(opener, peer, Qos(32, 10**12, 10**12), None)
            assert refused.status is Status.QOS_UNMET
            opened = await world.streams.open_connect(opener, peer, refused.qos, None)
            assert opened.status is Status.PEER_NOT_CONNECTED
            reserved += opened.qos.min_bps
        assert reserved > everything / 2
        booked = world.book(0.9 * everything)
        assert world.applications.status(booked) is AppStatus.ON
        streams = [app for app in world.applications if app != booked]
        assert {world.applications.status(app) for app in streams} == {AppStatus.OUT_OF_TIME}

    play(scenario)


def test_fault_05_one_sae_has_so_many_streams_and_so_much_of_the_rate_and_leaves_the_rest() -> None:
    async def scenario(world: Streams) -> None:
        world.terms["sae-a"] = StreamTerms(max_streams=3)
        opened = [await world.streams.open_connect("sae-a", "sae-b", QOS, None) for _ in range(5)]
        assert [each.status for each in opened] == 3 * [Status.PEER_NOT_CONNECTED] + 2 * [Status.QOS_UNMET]
        assert (await world.streams.open_connect("sae-b", "sae-a", QOS, None)).status is Status.PEER_NOT_CONNECTED
        await world.streams.close("sae-a", opened[0].key_stream_id or uuid.uuid4())
        greedy = Qos(32, 10**12, 10**12)
        first = await world.streams.open_connect("sae-a", "sae-b", greedy, None)
        assert (await world.streams.open_connect("sae-a", "sae-b", first.qos, None)).status is Status.PEER_NOT_CONNECTED
        # Half of what there was: it gets no more, another does.
        for opener, peer, least in (("sae-a", "sae-b", 0), ("sae-b", "sae-a", first.qos.min_bps // 2 - 1)):
            offer = await world.streams.open_connect(opener, peer, greedy, None)
            assert least <= offer.qos.min_bps <= least + 2

    play(scenario)


@pytest.mark.parametrize("is_joined", [True, False])
def test_fault_05_a_stream_that_nobody_uses_ends_and_gives_its_reservation_back(is_joined: bool) -> None:
    async def scenario(world: Streams) -> None:
        qos = Qos(32, 10**9, 500)
        stream = await world.joined(qos) if is_joined else None
        if stream is None:
            stream = (await world.streams.open_connect("sae-a", "sae-b", qos, None)).key_stream_id
        assert stream is not None
        for _ in range(6):
            world.now += 11.0
            await world.streams.expire()
            if not is_joined and (stream, "sae-a") in world.streams._ends:
                # Who waits for an end that never comes does not use the stream.
                assert (await world.streams.get_key("a", "sae-a", stream, None, 0)).status is Status.GET_KEY_PEER_ABSENT
        assert len(world.applications) == 0
        with pytest.raises(UnauthorisedError):
            await world.streams.get_key("a", "sae-a", stream, None, 0)
        assert (await world.streams.open_connect("sae-a", "sae-b", qos, stream)).status is Status.PEER_NOT_CONNECTED

    play(scenario)


def test_fault_05_use_renews_a_lease() -> None:
    async def scenario(world: Streams) -> None:
        stream = await world.joined(Qos(32, 10**9, 500))
        for n in range(20):
            world.now += 59.0
            await world.streams.expire()
            site = "ab"[n % 2]
            assert (await world.streams.get_key(site, f"sae-{site}", stream, n, 0)).status is Status.OK
        assert len(world.applications) == 1

    play(scenario)
