"""Key streams of ETSI 004: both ends get the same chunks under the same indices, and every status of the standard."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from kms.delivery.key_stream import Qos, Status
from kms.delivery.stream_service import KeyStreams
from kms.errors import UnauthorisedError
from kms.keys.key import QKD
from tests.support.filled_sections import fill, stop
from tests.unit.kms.delivery.test_service import World

QOS = Qos(key_chunk_size=32, max_bps=10_000_000)


class Streams(World):
    def __init__(self, key_bytes: int = 20_000) -> None:
        super().__init__(key_bytes)
        self.streams = KeyStreams(self.service, self.applications, uuid.uuid4, lambda: self.now)

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
