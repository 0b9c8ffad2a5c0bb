"""ETSI GS QKD 004 v2.1.1 over HTTPS: the standard defines functions and no messages; these are ours, with its names.

``POST /api/etsi004/v2.1/open_connect``, ``get_key`` and ``close``. The outcome is in ``Status``; HTTP errors are for
requests that cannot be read (400) and for callers that are no end of the stream (401).
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from kms.delivery.key_stream import Qos
from kms.delivery.stream_service import ChunkMetadata, KeyStreams
from kms.errors import UnauthorisedError
from kms.interfaces.request_bodies import StrictModel, load_json, parse_uuid, validate

PATH = "/api/etsi004/v2.1"

Identify = Callable[[web.Request], str]


class _QosBody(StrictModel):
    Key_chunk_size: Annotated[int, Field(ge=1, le=1 << 20)]
    Max_bps: Annotated[int, Field(ge=0, le=1 << 48)]
    Min_bps: Annotated[int, Field(ge=0, le=1 << 48)] = 0
    Jitter: Annotated[int, Field(ge=0, le=1 << 32)] = 0
    Priority: Annotated[int, Field(ge=0, le=255)] = 0
    Timeout: Annotated[int, Field(ge=1, le=60_000)] = 2_000
    TTL: Annotated[int, Field(ge=1, le=1 << 32)] = 3_600
    Metadata_mimetype: str = "application/json"


class _OpenBody(StrictModel):
    Source: str
    Destination: str
    QoS: _QosBody
    Key_stream_ID: str | None = None


class _GetKeyBody(StrictModel):
    Key_stream_ID: str
    Index: Annotated[int, Field(ge=0, le=1 << 62)] | None = None
    Metadata_size: Annotated[int, Field(ge=0)] = 0


class _CloseBody(StrictModel):
    Key_stream_ID: str


class Etsi004:
    """The adapter of one site's KME."""

    def __init__(self, site: str, streams: KeyStreams) -> None:
        self._site = site
        self._streams = streams

    def add_routes(self, app: web.Application, caller_of: Identify) -> None:
        def handler(method: Callable[[str, bytes], Awaitable[dict[str, Any]]]) -> Callable[[web.Request], Any]:
            async def handle(request: web.Request) -> web.Response:
                answer = await method(caller_of(request), await request.read())
                return web.json_response(answer, headers={"Cache-Control": "no-store"})

            return handle

        app.router.add_post(f"{PATH}/open_connect", handler(self.open_connect))
        app.router.add_post(f"{PATH}/get_key", handler(self.get_key))
        app.router.add_post(f"{PATH}/close", handler(self.close))

    async def open_connect(self, caller: str, body: bytes) -> dict[str, Any]:
        parsed = validate(_OpenBody, load_json(body))
        if parsed.Source != caller:
            raise UnauthorisedError("Source is not the SAE of the client certificate")
        asked = Qos(**{name.lower(): value for name, value in parsed.QoS.model_dump().items()})
        if asked.min_bps > asked.max_bps:
            asked = Qos(**{**asked.__dict__, "max_bps": asked.min_bps})
        wanted = _stream_id(parsed.Key_stream_ID) if parsed.Key_stream_ID is not None else None
        opened = await self._streams.open_connect(caller, parsed.Destination, asked, wanted)
        names = {name.lower(): name for name in _QosBody.model_fields}
        return {
            "Status": int(opened.status),
            "QoS": {names[name]: value for name, value in opened.qos.__dict__.items()},
            "Key_stream_ID": str(opened.key_stream_id) if opened.key_stream_id is not None else None,
        }

    async def get_key(self, caller: str, body: bytes) -> dict[str, Any]:
        parsed = validate(_GetKeyBody, load_json(body))
        chunk = await self._streams.get_key(
            self._site, caller, _stream_id(parsed.Key_stream_ID), parsed.Index, parsed.Metadata_size
        )
        metadata = "" if chunk.metadata is None else _metadata(chunk.metadata)
        return {
            "Status": int(chunk.status),
            "Key_buffer": base64.b64encode(chunk.key_buffer).decode(),
            "Index": chunk.index,
            "Metadata": {"Metadata_size": len(metadata), "Metadata_buffer": metadata},
        }

    async def close(self, caller: str, body: bytes) -> dict[str, Any]:
        parsed = validate(_CloseBody, load_json(body))
        return {"Status": int(await self._streams.close(caller, _stream_id(parsed.Key_stream_ID)))}


def _metadata(metadata: ChunkMetadata) -> str:
    return json.dumps({"age": metadata.age_ms, "source": metadata.source.label})


def _stream_id(text: str) -> uuid.UUID:
    """A KSID is 16 bytes; written as a UUID, as in ETSI 014."""
    return parse_uuid(text, "Key_stream_ID")
