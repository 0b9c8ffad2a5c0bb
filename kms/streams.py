"""Key streams of ETSI GS QKD 004 v2.1.1: OPEN_CONNECT, GET_KEY and CLOSE over the same keys as ETSI 014. No HTTP here.

The two ends of a stream get the same chunk under the same index, whoever asks first: that end orders the chunk's keys
as their master, the other fetches their twins. A chunk is as long as the stream's Key_chunk_size (bytes).
"""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from kms.applications import AdmissionError, Applications, AppQos, QkdApp
from kms.errors import ExhaustedError, NoRouteError, RequestError, SectionStoppedError, UnauthorisedError
from kms.keys import KeySource
from kms.service import KeyService
from kms.wire import DeliveredKey, EncRequest

MAX_STREAMS = 10_000
MAX_AHEAD = 256  # chunks that one end may be ahead of the other
METADATA_BYTES = 64  # no metadata of ours is longer
MIMETYPE = "application/json"


class Status(IntEnum):
    """ETSI GS QKD 004, table 4."""

    OK = 0
    PEER_NOT_CONNECTED = 1
    INSUFFICIENT_KEY = 2
    GET_KEY_PEER_ABSENT = 3
    NO_LINK = 4
    KSID_IN_USE = 5
    TIMEOUT = 6
    QOS_UNMET = 7
    METADATA_TOO_SMALL = 8


@dataclass(frozen=True)
class Qos:
    """The standard's QoS structure: bytes, bit/s, milliseconds, seconds as it has them."""

    key_chunk_size: int
    max_bps: int
    min_bps: int = 0
    jitter: int = 0
    priority: int = 0
    timeout: int = 2_000
    ttl: int = 3_600
    metadata_mimetype: str = MIMETYPE


@dataclass(frozen=True)
class Opened:
    status: Status
    qos: Qos
    key_stream_id: uuid.UUID | None


@dataclass(frozen=True)
class Chunk:
    status: Status
    index: int = 0
    key_buffer: bytes = field(default=b"", repr=False)
    metadata: bytes = b""


@dataclass
class _Order:
    """A chunk that one end has ordered and the other has not fetched yet."""

    master: str
    made_at: float
    key_ids: asyncio.Future[tuple[uuid.UUID, ...]]


@dataclass
class _Stream:
    app: QkdApp
    qos: Qos
    ends: tuple[str, str]
    connected: set[str]
    next_index: dict[str, int]
    orders: dict[int, _Order] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    late: dict[tuple[str, int], asyncio.Task[tuple[list[DeliveredKey], float]]] = field(
        default_factory=dict, repr=False
    )


class KeyStreams:
    """The streams of one KMS."""

    def __init__(
        self, service: KeyService, applications: Applications, new_id: Callable[[], uuid.UUID],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._service = service
        self._applications = applications
        self._new_id = new_id
        self._clock = clock
        self._streams: dict[uuid.UUID, _Stream] = {}

    def open_connect(self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID | None) -> Opened:
        """``key_stream_id`` None asks for a new one; the peer joins with the one that the first end was given."""
        stream = self._streams.get(key_stream_id) if key_stream_id is not None else None
        if stream is not None:
            if set(stream.ends) != {caller, destination} or caller in stream.connected:
                return Opened(Status.KSID_IN_USE, qos, key_stream_id)
            stream.connected.add(caller)
            return Opened(Status.OK, stream.qos, key_stream_id)
        if caller == destination or not self._service.homes.is_known(destination):
            return Opened(Status.NO_LINK, qos, key_stream_id)
        if len(self._streams) >= MAX_STREAMS:
            return Opened(Status.QOS_UNMET, replace(qos, max_bps=0, min_bps=0), key_stream_id)
        longest = self._service.limits.max_key_size * self._service.limits.max_key_per_request // 8
        if not self._service.limits.min_key_size <= 8 * qos.key_chunk_size <= 8 * longest:
            bounded = min(max(qos.key_chunk_size, self._service.limits.min_key_size // 8), longest)
            return Opened(Status.QOS_UNMET, replace(qos, key_chunk_size=bounded), key_stream_id)
        return self._admit(caller, destination, qos, key_stream_id or self._new_id())

    def _admit(self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID) -> Opened:
        sites = tuple(self._service.homes.site_of(sae) for sae in (caller, destination))
        app = QkdApp(
            key_stream_id, caller, (destination,), self._source, tuple(site for site in sites if site is not None),
            AppQos(qos.min_bps, qos.max_bps, qos.jitter / 1e3, qos.ttl), qos.priority,
        )  # fmt: skip
        if None in sites:
            return Opened(Status.NO_LINK, qos, key_stream_id)
        try:
            self._applications.admit(app, self._clock())
        except AdmissionError as error:
            offer = int(error.offer_bps)
            return Opened(Status.QOS_UNMET, replace(qos, min_bps=offer, max_bps=max(offer, 0)), key_stream_id)
        ends = (caller, destination)
        self._streams[key_stream_id] = _Stream(app, qos, ends, {caller}, dict.fromkeys(ends, 0))
        return Opened(Status.PEER_NOT_CONNECTED, qos, key_stream_id)

    @property
    def _source(self) -> KeySource:
        return self._service.default_source

    async def get_key(
        self, site: str, caller: str, key_stream_id: uuid.UUID, index: int | None, metadata_size: int
    ) -> Chunk:
        """The chunk under ``index``, or under the caller's next one. ``metadata_size`` 0 asks for no metadata."""
        stream = self._streams.get(key_stream_id)
        if stream is None or caller not in stream.connected:
            raise UnauthorisedError("this end has not opened the key stream")
        if len(stream.connected) < 2:
            return Chunk(Status.GET_KEY_PEER_ABSENT)
        if 0 < metadata_size < METADATA_BYTES:
            return Chunk(Status.METADATA_TOO_SMALL)
        wanted = stream.next_index[caller] if index is None else index
        if wanted in stream.done or wanted > min(stream.next_index.values()) + MAX_AHEAD:
            return Chunk(Status.INSUFFICIENT_KEY, wanted)
        # What the time limit overtakes goes on, and is what the caller gets when it asks again: no key is lost by it.
        task = stream.late.pop((caller, wanted), None)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._chunk_keys(stream, site, caller, wanted))
        await asyncio.wait({task}, timeout=stream.qos.timeout / 1e3)
        if not task.done():
            stream.late[caller, wanted] = task
            return Chunk(Status.TIMEOUT, wanted)
        try:
            keys, made_at = task.result()
        except (NoRouteError, SectionStoppedError):
            return Chunk(Status.NO_LINK, wanted)
        except (ExhaustedError, RequestError):
            return Chunk(Status.INSUFFICIENT_KEY, wanted)
        stream.next_index[caller] = max(stream.next_index[caller], wanted + 1)
        buffer = b"".join(key.key for key in keys)[: stream.qos.key_chunk_size]
        age_ms = max(0, round(1e3 * (self._clock() - made_at)))
        metadata = json.dumps({"age": min(age_ms, 10**12), "source": keys[0].source.label}).encode()
        return Chunk(Status.OK, wanted, buffer, metadata if metadata_size else b"")

    async def _chunk_keys(
        self, stream: _Stream, site: str, caller: str, index: int
    ) -> tuple[list[DeliveredKey], float]:
        order = stream.orders.get(index)
        if order is not None and self._clock() - order.made_at > stream.qos.ttl:
            del stream.orders[index]
            stream.done.add(index)
            raise ExhaustedError("the chunk has outlived its TTL")
        peer = stream.ends[1] if caller == stream.ends[0] else stream.ends[0]
        if order is None:
            order = _Order(caller, self._clock(), asyncio.get_running_loop().create_future())
            stream.orders[index] = order
            try:
                keys = await self._service.enc_keys(site, caller, peer, self._request(stream.qos))
            except BaseException:
                # The next to ask orders it anew; who waits already is told to ask again.
                stream.orders.pop(index, None)
                order.key_ids.cancel()
                raise
            order.key_ids.set_result(tuple(key.key_id for key in keys))
            return keys, order.made_at
        if order.master == caller:
            raise RequestError("this end has had the chunk")
        try:
            key_ids = await asyncio.shield(order.key_ids)
        except asyncio.CancelledError:
            if not order.key_ids.cancelled():
                raise
            raise ExhaustedError("the other end got no keys for the chunk") from None
        keys = await self._service.dec_keys(site, caller, order.master, key_ids)
        stream.orders.pop(index, None)
        stream.done.add(index)
        _forget_old(stream)
        return keys, order.made_at

    def _request(self, qos: Qos) -> EncRequest:
        bits = 8 * qos.key_chunk_size
        number = math.ceil(bits / self._service.limits.max_key_size)
        size = 8 * math.ceil(bits / number / 8)
        return EncRequest(number, size, source=self._source)

    def close(self, caller: str, key_stream_id: uuid.UUID) -> Status:
        """The caller leaves; when both have, the stream and its reservation are gone."""
        stream = self._streams.get(key_stream_id)
        if stream is None or caller not in stream.ends:
            raise UnauthorisedError("this SAE is no end of the key stream")
        stream.connected.discard(caller)
        if not stream.connected:
            del self._streams[key_stream_id]
            self._applications.release(key_stream_id)
            return Status.OK
        return Status.PEER_NOT_CONNECTED


def _forget_old(stream: _Stream) -> None:
    """Indices far behind both ends are over: what is below needs no list."""
    behind = min(stream.next_index.values()) - MAX_AHEAD
    stream.done = {index for index in stream.done if index >= behind}
