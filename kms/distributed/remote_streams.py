"""ETSI 004 streams that another KME keeps: found there, and asked there about the end that is connected here."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict

from kms.delivery.key_stream import Qos, Status, StreamClient, Turn
from kms.delivery.stream_service import Opened
from kms.distributed.peer_messages import (
    STREAM_FAILED,
    STREAM_FETCHED,
    STREAM_JOIN,
    STREAM_LEAVE,
    STREAM_LOOK,
    STREAM_ORDERED,
    STREAM_TURN,
    JoinStream,
    LookAtChunk,
    OrderedChunk,
    StreamChunk,
    StreamEnd,
    StreamQos,
)
from kms.distributed.peer_rpc import PeerClient
from kms.errors import PeerUnavailableError


class PeerStreamClient:
    """A stream that another KME keeps (:class:`kms.delivery.key_stream.StreamClient`)."""

    def __init__(self, client: PeerClient, keeper: str, key_stream_id: uuid.UUID) -> None:
        self._client = client
        self._keeper = keeper
        self._key_stream_id = key_stream_id

    async def look(self, caller: str, index: int, next_index: int) -> Status:
        about = LookAtChunk(key_stream_id=self._key_stream_id, caller=caller, index=index, next_index=next_index)
        return (await self._client.call(self._keeper, STREAM_LOOK, about)).status

    async def claim(self, caller: str, index: int) -> Turn:
        turn = await self._client.call(self._keeper, STREAM_TURN, self._chunk(caller, index))
        return Turn(turn.made_at, turn.master, turn.key_ids)

    async def ordered(self, caller: str, index: int, key_ids: Sequence[uuid.UUID]) -> None:
        ordered = OrderedChunk(
            key_stream_id=self._key_stream_id, caller=caller, index=index, key_ids=tuple(key_ids)
        )  # fmt: skip
        await self._client.call(self._keeper, STREAM_ORDERED, ordered)

    async def failed(self, caller: str, index: int) -> None:
        await self._client.call(self._keeper, STREAM_FAILED, self._chunk(caller, index))

    async def fetched(self, caller: str, index: int) -> None:
        await self._client.call(self._keeper, STREAM_FETCHED, self._chunk(caller, index))

    async def leave(self, caller: str) -> Status:
        end = StreamEnd(key_stream_id=self._key_stream_id, caller=caller)
        return (await self._client.call(self._keeper, STREAM_LEAVE, end)).status

    def _chunk(self, caller: str, index: int) -> StreamChunk:
        return StreamChunk(key_stream_id=self._key_stream_id, caller=caller, index=index)


class PeerStreams:
    """Finds who keeps a stream (:class:`kms.delivery.stream_service.RemoteStreams`)."""

    def __init__(self, site: str, client: PeerClient) -> None:
        self._site = site
        self._client = client

    async def join(
        self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID, likely: str | None
    ) -> tuple[Opened, StreamClient] | None:
        wish = JoinStream(
            key_stream_id=key_stream_id, caller=caller, destination=destination, qos=StreamQos(**asdict(qos))
        )  # fmt: skip
        others = [site for site in self._client.peers if site != self._site]
        for peer in sorted(others, key=lambda site: site != likely):
            try:
                opened = (await self._client.call(peer, STREAM_JOIN, wish)).opened
            except PeerUnavailableError:
                continue
            if opened is not None:
                answer = Opened(opened.status, Qos(**opened.qos.model_dump()), key_stream_id)
                return answer, PeerStreamClient(self._client, peer, key_stream_id)
        return None
