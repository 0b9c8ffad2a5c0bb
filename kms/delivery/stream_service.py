"""Key streams of ETSI GS QKD 004 v2.1.1: OPEN_CONNECT, GET_KEY and CLOSE over the same keys as ETSI 014. No HTTP here.

A chunk is as long as the stream's Key_chunk_size (bytes). Whose turn it is says the KME that keeps the stream
(:mod:`kms.delivery.key_stream`), which may be another than the one that an end asks (:class:`RemoteStreams`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from kms.admission.key_rate_reservations import AdmissionError, Applications, AppQos, QkdApp
from kms.delivery.key_delivery import KeyService
from kms.delivery.key_stream import KeyStream, Qos, Status, StreamClient
from kms.delivery.requests import DeliveredKey, EncRequest
from kms.errors import ExhaustedError, KmsError, NoRouteError, RequestError, SectionStoppedError, UnauthorisedError
from kms.keys.key import KeySource, Source
from kms.keys.limits import StreamTerms

MAX_STREAMS = 10_000
LEASE_S = 600.0
# Of the QKD rate that is free, what the streams of one SAE may reserve.
STREAM_SHARE = 0.5
METADATA_BYTES = 64  # no metadata of ours is longer, however an interface writes it
_LONGEST_AGE_MS = 10**12


@dataclass(frozen=True)
class Opened:
    status: Status
    qos: Qos
    key_stream_id: uuid.UUID | None


@dataclass(frozen=True)
class ChunkMetadata:
    """How old the chunk's keys are, and where they come from."""

    age_ms: int
    source: KeySource


@dataclass(frozen=True)
class Chunk:
    status: Status
    index: int = 0
    key_buffer: bytes = field(default=b"", repr=False)
    metadata: ChunkMetadata | None = None


class RemoteStreams(Protocol):
    """The other KMEs, where the stream may be kept that an end wants to join."""

    async def join(
        self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID, likely: str | None
    ) -> tuple[Opened, StreamClient] | None:
        """The answer of the KME that keeps it; None when none does. ``likely`` is the site to ask first."""


_Late = asyncio.Task[tuple[list[DeliveredKey], float]]


@dataclass
class _End:
    """An end that is connected here."""

    client: StreamClient
    peer: str
    qos: Qos
    used_at: float
    next_index: int = 0
    # What a time limit overtook, by index.
    late: dict[int, _Late] = field(default_factory=dict, repr=False)


class KeyStreams:
    """The streams whose ends, one or both, are connected at this KMS."""

    def __init__(
        self, service: KeyService, applications: Applications, new_id: Callable[[], uuid.UUID],
        clock: Callable[[], float], remote: RemoteStreams | None = None,
        terms: Callable[[str], StreamTerms] = lambda sae: StreamTerms(), lease_s: float = LEASE_S,
    ) -> None:  # fmt: skip
        """``terms`` says what the operator grants an SAE.

        A stream ends when no chunk has been asked for in ``lease_s`` seconds.
        """
        self._service = service
        self._applications = applications
        self._new_id = new_id
        self._clock = clock
        self._remote = remote
        self._terms = terms
        self._lease_s = lease_s
        self._opened: Counter[str] = Counter()  # streams that are kept, by the SAE that opened them
        self._kept: dict[uuid.UUID, KeyStream] = {}
        self._ends: dict[tuple[uuid.UUID, str], _End] = {}

    async def open_connect(self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID | None) -> Opened:
        """``key_stream_id`` None asks for a new one; the peer joins with the one that the first end was given."""
        if key_stream_id is not None:
            if (key_stream_id, caller) in self._ends:
                return Opened(Status.KSID_IN_USE, qos, key_stream_id)
            if self._remote is not None and key_stream_id not in self._kept:
                registry = self._service.registry
                likely = registry.site_of(destination) if registry.is_known(destination) else None
                joined = await self._remote.join(caller, destination, qos, key_stream_id, likely)
                if joined is not None:
                    opened, client = joined
                    if opened.status is Status.OK:
                        self._ends[key_stream_id, caller] = _End(client, destination, opened.qos, self._clock())
                    return opened
        opened = self.connect(caller, destination, qos, key_stream_id)
        if opened.status in (Status.OK, Status.PEER_NOT_CONNECTED) and opened.key_stream_id is not None:
            kept = self._kept[opened.key_stream_id]
            self._ends[opened.key_stream_id, caller] = _End(kept, destination, kept.qos, self._clock())
        return opened

    def kept(self, key_stream_id: uuid.UUID) -> KeyStream | None:
        return self._kept.get(key_stream_id)

    def connect(self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID | None) -> Opened:
        """An end of a stream that is kept here, or is to be: the end itself may be connected at another KME."""
        stream = self._kept.get(key_stream_id) if key_stream_id is not None else None
        if stream is not None:
            if not stream.connect(caller, destination):
                return Opened(Status.KSID_IN_USE, qos, key_stream_id)
            return Opened(Status.OK, stream.qos, key_stream_id)
        if caller == destination or not self._service.registry.is_known(destination):
            return Opened(Status.NO_LINK, qos, key_stream_id)
        terms = self._terms(caller)
        qos = replace(qos, priority=min(qos.priority, terms.priority))
        if len(self._kept) >= MAX_STREAMS or self._opened[caller] >= terms.max_streams:
            return Opened(Status.QOS_UNMET, replace(qos, max_bps=0, min_bps=0), key_stream_id)
        longest = self._service.limits.max_key_size * self._service.limits.max_key_per_request // 8
        if not self._service.limits.min_key_size <= 8 * qos.key_chunk_size <= 8 * longest:
            bounded = min(max(qos.key_chunk_size, self._service.limits.min_key_size // 8), longest)
            return Opened(Status.QOS_UNMET, replace(qos, key_chunk_size=bounded), key_stream_id)
        return self._admit(caller, destination, qos, key_stream_id or self._new_id())

    def _admit(self, caller: str, destination: str, qos: Qos, key_stream_id: uuid.UUID) -> Opened:
        here, there = (self._service.registry.site_of(sae) for sae in (caller, destination))
        if here is None or there is None:
            return Opened(Status.NO_LINK, qos, key_stream_id)
        app = QkdApp(
            key_stream_id, caller, (destination,), self._source, (here, there),
            AppQos(qos.min_bps, qos.max_bps, qos.jitter / 1e3, qos.ttl), qos.priority,
        )  # fmt: skip
        try:
            most = self._most_bps(app)
            if qos.min_bps > most:
                raise AdmissionError("more than one SAE's streams may reserve", most)
            self._applications.admit(app, self._clock())
        except AdmissionError as error:
            offer = int(error.offer_bps)
            return Opened(Status.QOS_UNMET, replace(qos, min_bps=offer, max_bps=max(offer, 0)), key_stream_id)
        ends = (caller, destination)

        def forget() -> None:
            del self._kept[key_stream_id]
            for end in ends:
                self._ends.pop((key_stream_id, end), None)
            self._opened -= Counter((caller,))
            self._applications.release(key_stream_id)

        self._kept[key_stream_id] = KeyStream(app, qos, ends, self._clock, forget, {caller})
        self._opened[caller] += 1
        return Opened(Status.PEER_NOT_CONNECTED, qos, key_stream_id)

    def _most_bps(self, app: QkdApp) -> float:
        """What the stream may reserve beside the others of the SAE that opens it."""
        opener = app.server_app_id
        held = sum(stream.qos.min_bps for stream in self._kept.values() if stream.ends[0] == opener)
        most = self._applications.offer_bps(app)
        if Source.QKD in app.source.parts:
            most = STREAM_SHARE * (most + held) - held
        quota_bps = self._applications.quota_bps(opener)
        return max(0.0, most if quota_bps is None else min(most, quota_bps - held))

    async def expire(self) -> int:
        """End what has not been used for a lease: streams that are kept here, ends of others; how many."""
        overdue = self._clock() - self._lease_s
        streams = [stream for stream in self._kept.values() if stream.used_at <= overdue]
        for stream in streams:
            stream.end()
        ends = [
            (caller, key_stream_id)
            for (key_stream_id, caller), end in self._ends.items()
            if key_stream_id not in self._kept and end.used_at <= overdue
        ]
        for caller, key_stream_id in ends:
            with contextlib.suppress(KmsError):  # the stream has gone as well, or its KME has
                await self.close(caller, key_stream_id)
        return len(streams) + len(ends)

    @property
    def _source(self) -> KeySource:
        return self._service.default_source

    async def get_key(
        self, site: str, caller: str, key_stream_id: uuid.UUID, index: int | None, metadata_size: int
    ) -> Chunk:
        """The chunk under ``index``, or under the caller's next one. ``metadata_size`` 0 asks for no metadata."""
        end = self._ends.get((key_stream_id, caller))
        if end is None:
            raise UnauthorisedError("this end has not opened the key stream")
        wanted = end.next_index if index is None else index
        # What the time limit overtakes goes on, and is what the caller gets when it asks again: no key is lost by it.
        task = end.late.pop(wanted, None)
        if task is None:
            try:
                status = await end.client.look(caller, wanted, end.next_index)
            except ExhaustedError:  # the KME that keeps the stream does not answer
                return Chunk(Status.NO_LINK, wanted)
            except UnauthorisedError:  # it has ended the stream
                self._ends.pop((key_stream_id, caller), None)
                raise
            if status is Status.GET_KEY_PEER_ABSENT:
                return Chunk(status)
            if 0 < metadata_size < METADATA_BYTES:
                return Chunk(Status.METADATA_TOO_SMALL)
            if status is not Status.OK:
                return Chunk(status, wanted)
            task = asyncio.get_running_loop().create_task(self._chunk_keys(end, site, caller, wanted))
        await asyncio.wait({task}, timeout=end.qos.timeout / 1e3)
        if not task.done():
            end.late[wanted] = task
            return Chunk(Status.TIMEOUT, wanted)
        try:
            keys, made_at = task.result()
        except (NoRouteError, SectionStoppedError):
            return Chunk(Status.NO_LINK, wanted)
        except (ExhaustedError, RequestError):
            return Chunk(Status.INSUFFICIENT_KEY, wanted)
        end.next_index = max(end.next_index, wanted + 1)
        buffer = b"".join(key.key for key in keys)[: end.qos.key_chunk_size]
        age_ms = max(0, round(1e3 * (self._clock() - made_at)))
        metadata = ChunkMetadata(min(age_ms, _LONGEST_AGE_MS), keys[0].source)
        return Chunk(Status.OK, wanted, buffer, metadata if metadata_size else None)

    async def _chunk_keys(self, end: _End, site: str, caller: str, index: int) -> tuple[list[DeliveredKey], float]:
        end.used_at = self._clock()
        turn = await end.client.claim(caller, index)
        if turn.key_ids is not None:
            keys = await self._service.dec_keys(site, caller, turn.master, turn.key_ids)
            with contextlib.suppress(KmsError):  # the keys are here, whether or not who keeps the stream hears of it
                await end.client.fetched(caller, index)
            return keys, turn.made_at
        try:
            keys = await self._service.enc_keys(site, caller, end.peer, self._request(end.qos))
            await end.client.ordered(caller, index, tuple(key.key_id for key in keys))
        except BaseException:  # a request that is given up too: the other end waits for this chunk
            with contextlib.suppress(KmsError):
                await end.client.failed(caller, index)
            raise
        return keys, turn.made_at

    def _request(self, qos: Qos) -> EncRequest:
        bits = 8 * qos.key_chunk_size
        number = math.ceil(bits / self._service.limits.max_key_size)
        size = 8 * math.ceil(bits / number / 8)
        return EncRequest(number, size, source=self._source)

    async def close(self, caller: str, key_stream_id: uuid.UUID) -> Status:
        """The caller leaves; when both have, the stream and its reservation are gone."""
        end = self._ends.pop((key_stream_id, caller), None)
        if end is None:
            raise UnauthorisedError("this SAE is no end of the key stream")
        try:
            return await end.client.leave(caller)
        except (ExhaustedError, UnauthorisedError):  # the KME that keeps it has gone, or begun anew: so has the stream
            return Status.OK
