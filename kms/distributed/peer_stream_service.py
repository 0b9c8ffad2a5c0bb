"""Answers the other KMEs about ETSI 004 streams that are kept here and have an end there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import asdict

from kms.delivery.key_stream import KeyStream, Qos, Status
from kms.delivery.sae_registry import SaeRegistry
from kms.delivery.stream_service import KeyStreams
from kms.distributed.peer_messages import (
    STREAM_FAILED,
    STREAM_FETCHED,
    STREAM_JOIN,
    STREAM_LEAVE,
    STREAM_LOOK,
    STREAM_ORDERED,
    STREAM_TURN,
    ChunkTurn,
    JoinAnswer,
    JoinStream,
    LookAtChunk,
    Nothing,
    OrderedChunk,
    StreamChunk,
    StreamEnd,
    StreamOpened,
    StreamQos,
    StreamStatus,
)
from kms.distributed.peer_rpc import Endpoint, endpoint
from kms.errors import ExhaustedError, UnauthorisedError

# Shorter than a call between KMEs may take: who waits for the other end is told to ask again.
TURN_WAIT_S = 4.0


class PeerStreamService:
    def __init__(self, registry: SaeRegistry, streams: KeyStreams) -> None:
        self._registry = registry
        self._streams = streams
        self._joined_from: dict[tuple[uuid.UUID, str], str] = {}

    def drop_of(self, peer: str) -> None:
        """The peer was restarted, and its ends of the streams that are kept here are gone."""
        for (key_stream_id, caller), joined_from in tuple(self._joined_from.items()):
            if joined_from == peer:
                del self._joined_from[key_stream_id, caller]
                stream = self._streams.kept(key_stream_id)
                if stream is not None:
                    stream.disconnect(caller)

    async def join(self, peer: str, body: JoinStream) -> JoinAnswer:
        self._require_speaker(peer, body.caller)
        # Streams end at other hands too.
        self._joined_from = {
            end: site for end, site in self._joined_from.items() if self._streams.kept(end[0]) is not None
        }  # fmt: skip
        if self._streams.kept(body.key_stream_id) is None:
            return JoinAnswer(opened=None)
        asked = Qos(**body.qos.model_dump())
        opened = self._streams.connect(body.caller, body.destination, asked, body.key_stream_id)
        if opened.status is Status.OK:
            self._joined_from[body.key_stream_id, body.caller] = peer
        return JoinAnswer(opened=StreamOpened(status=opened.status, qos=StreamQos(**asdict(opened.qos))))

    async def leave(self, peer: str, body: StreamEnd) -> StreamStatus:
        stream = self._stream(peer, body)
        # From now on the end may join at another KME, and this one speaks for it no more.
        del self._joined_from[body.key_stream_id, body.caller]
        return StreamStatus(status=await stream.leave(body.caller))

    async def look(self, peer: str, body: LookAtChunk) -> StreamStatus:
        return StreamStatus(status=await self._stream(peer, body).look(body.caller, body.index, body.next_index))

    async def claim(self, peer: str, body: StreamChunk) -> ChunkTurn:
        stream = self._stream(peer, body)
        try:
            async with asyncio.timeout(TURN_WAIT_S):
                turn = await stream.claim(body.caller, body.index)
        except TimeoutError:
            raise ExhaustedError("the other end is getting keys for the chunk") from None
        return ChunkTurn(made_at=turn.made_at, master=turn.master, key_ids=turn.key_ids)

    async def ordered(self, peer: str, body: OrderedChunk) -> Nothing:
        await self._stream(peer, body).ordered(body.caller, body.index, body.key_ids)
        return Nothing()

    async def failed(self, peer: str, body: StreamChunk) -> Nothing:
        await self._stream(peer, body).failed(body.caller, body.index)
        return Nothing()

    async def fetched(self, peer: str, body: StreamChunk) -> Nothing:
        await self._stream(peer, body).fetched(body.caller, body.index)
        return Nothing()

    def endpoints(self) -> Sequence[Endpoint]:
        return (
            endpoint(STREAM_JOIN, self.join), endpoint(STREAM_LEAVE, self.leave), endpoint(STREAM_LOOK, self.look),
            endpoint(STREAM_TURN, self.claim), endpoint(STREAM_ORDERED, self.ordered),
            endpoint(STREAM_FAILED, self.failed), endpoint(STREAM_FETCHED, self.fetched),
        )  # fmt: skip

    def _stream(self, peer: str, end: StreamEnd) -> KeyStream:
        """The stream, when the end joined it from the peer; UnauthorisedError otherwise."""
        self._require_speaker(peer, end.caller)
        stream = self._streams.kept(end.key_stream_id)
        if stream is None or self._joined_from.get((end.key_stream_id, end.caller)) != peer:
            raise UnauthorisedError("this end has not opened the key stream")
        return stream

    def _require_speaker(self, peer: str, caller: str) -> None:
        bound = self._registry.site_bound_to(caller)
        if bound is not None and bound != peer:
            raise UnauthorisedError("an end of a stream is bound to another site than the one that speaks for it")
