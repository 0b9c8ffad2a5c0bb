"""ETSI 004 streams whose two ends are at two KMEs: the one where it was opened keeps it, the other asks there."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

from kms.delivery.key_stream import KeyStream, Qos, Status, StreamClient, Turn
from kms.delivery.sae_registry import SaeRegistry
from kms.delivery.stream_service import KeyStreams, Opened
from kms.distributed.peer_rpc import PeerClient
from kms.errors import ExhaustedError, PeerUnavailableError, UnauthorisedError

# Shorter than a call between KMEs may take: who waits for the other end is told to ask again.
TURN_WAIT_S = 4.0
_MOST_IDS = 1_024


class PeerStreamClient:
    """A stream that another KME keeps (:class:`kms.delivery.key_stream.StreamClient`)."""

    def __init__(self, client: PeerClient, keeper: str, key_stream_id: uuid.UUID) -> None:
        self._client = client
        self._keeper = keeper
        self._key_stream_id = key_stream_id

    async def look(self, caller: str, index: int, next_index: int) -> Status:
        answer = await self._call("look", caller, index=index, next_index=next_index)
        return Status(answer["status"])

    async def claim(self, caller: str, index: int) -> Turn:
        answer = await self._call("claim", caller, index=index)
        ids = answer["key_ids"]
        key_ids = None if ids is None else tuple(uuid.UUID(text) for text in ids)
        return Turn(float(answer["made_at"]), str(answer["master"]), key_ids)

    async def ordered(self, caller: str, index: int, key_ids: Sequence[uuid.UUID]) -> None:
        await self._call("ordered", caller, index=index, key_ids=[str(key_id) for key_id in key_ids])

    async def failed(self, caller: str, index: int) -> None:
        await self._call("failed", caller, index=index)

    async def fetched(self, caller: str, index: int) -> None:
        await self._call("fetched", caller, index=index)

    async def leave(self, caller: str) -> Status:
        return Status((await self._call("leave", caller))["status"])

    async def _call(self, what: str, caller: str, **more: Any) -> dict[str, Any]:
        body = {"what": what, "key_stream_id": str(self._key_stream_id), "caller": caller, **more}
        return dict(await self._client.call(self._keeper, "stream", body))


class PeerStreams:
    """Both sides: finds who keeps a stream, and answers those that ask here.

    Finding is :class:`kms.delivery.stream_service.RemoteStreams`.
    """

    streams: KeyStreams  # given after it was made

    def __init__(self, site: str, registry: SaeRegistry, client: PeerClient) -> None:
        self._site = site
        self._registry = registry
        self._client = client
        self._joined_from: dict[tuple[uuid.UUID, str], str] = {}

    def drop_of(self, peer: str) -> None:
        """The peer was restarted, and its ends of the streams that are kept here are gone."""
        for (key_stream_id, caller), joined_from in tuple(self._joined_from.items()):
            if joined_from == peer:
                del self._joined_from[key_stream_id, caller]
                stream = self.streams.kept(key_stream_id)
                if stream is not None:
                    stream.disconnect(caller)

    async def join(
        self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID, likely: str | None
    ) -> tuple[Opened, StreamClient] | None:
        body = {
            "what": "join", "key_stream_id": str(key_stream_id), "caller": caller, "destination": destination,
            "qos": dataclasses.asdict(qos),
        }  # fmt: skip
        others = [site for site in self._client.peers if site != self._site]
        for peer in sorted(others, key=lambda site: site != likely):
            try:
                answer = await self._client.call(peer, "stream", body)
            except PeerUnavailableError:
                continue
            if answer["kept"]:
                opened = Opened(Status(answer["status"]), Qos(**answer["qos"]), key_stream_id)
                return opened, PeerStreamClient(self._client, peer, key_stream_id)
        return None

    async def answer(self, peer: str, body: dict[str, Any]) -> dict[str, Any]:
        what, caller = str(body["what"]), str(body["caller"])
        key_stream_id = uuid.UUID(body["key_stream_id"])
        bound = self._registry.site_bound_to(caller)
        if bound is not None and bound != peer:
            raise UnauthorisedError("an end of a stream is bound to another site than the one that speaks for it")
        stream = self.streams.kept(key_stream_id)
        if what == "join":
            if stream is None:
                return {"kept": False}
            opened = self.streams.connect(caller, str(body["destination"]), Qos(**body["qos"]), key_stream_id)
            if opened.status is Status.OK:
                self._joined_from[key_stream_id, caller] = peer
            return {"kept": True, "status": int(opened.status), "qos": dataclasses.asdict(opened.qos)}
        if stream is None or self._joined_from.get((key_stream_id, caller)) != peer:
            raise UnauthorisedError("this end has not opened the key stream")
        return await _of_the_stream(stream, what, caller, body)


async def _of_the_stream(stream: KeyStream, what: str, caller: str, body: dict[str, Any]) -> dict[str, Any]:
    if what == "leave":
        return {"status": int(await stream.leave(caller))}
    index = int(body["index"])
    match what:
        case "look":
            return {"status": int(await stream.look(caller, index, int(body["next_index"])))}
        case "claim":
            try:
                async with asyncio.timeout(TURN_WAIT_S):
                    turn = await stream.claim(caller, index)
            except TimeoutError:
                raise ExhaustedError("the other end is getting keys for the chunk") from None
            ids = None if turn.key_ids is None else [str(key_id) for key_id in turn.key_ids]
            return {"made_at": turn.made_at, "master": turn.master, "key_ids": ids}
        case "ordered":
            await stream.ordered(caller, index, [uuid.UUID(text) for text in body["key_ids"][:_MOST_IDS]])
        case "failed":
            await stream.failed(caller, index)
        case "fetched":
            await stream.fetched(caller, index)
        case _:
            raise ValueError(what)
    return {}
