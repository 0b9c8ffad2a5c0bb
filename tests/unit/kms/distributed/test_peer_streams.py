"""Streams that one KME keeps for an end at another: who speaks for the end, and until when."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import pytest

from kms.delivery.key_stream import Status
from kms.distributed.peer_messages import JoinStream, LookAtChunk, StreamEnd, StreamQos
from kms.distributed.peer_stream_service import PeerStreamService
from kms.errors import UnauthorisedError
from tests.unit.kms.delivery.test_streams import QOS, Streams


def test_whoever_an_end_has_left_speaks_for_it_no_more_and_takes_nothing_down_with_it() -> None:
    async def scenario() -> None:
        world = Streams()
        service = PeerStreamService(world.service.registry, world.streams)
        opened = await world.streams.open_connect("sae-a", "sae-b", QOS, None)
        stream = opened.key_stream_id
        assert stream is not None
        end = StreamEnd(key_stream_id=stream, caller="sae-b")
        wish = JoinStream(key_stream_id=stream, caller="sae-b", destination="sae-a", qos=StreamQos(**asdict(QOS)))
        joined = (await service.join("b", wish)).opened
        assert joined is not None
        assert joined.status is Status.OK
        assert (await service.leave("b", end)).status is Status.PEER_NOT_CONNECTED
        assert (await world.streams.open_connect("sae-b", "sae-a", QOS, stream)).status is Status.OK
        with pytest.raises(UnauthorisedError, match="has not opened"):
            await service.look("b", LookAtChunk(key_stream_id=stream, caller="sae-b", index=0, next_index=0))
        service.drop_of("b")
        assert (await world.streams.get_key("a", "sae-a", stream, None, 0)).status is Status.OK
        assert (await world.streams.get_key("b", "sae-b", stream, None, 0)).status is Status.OK

    asyncio.run(scenario())
