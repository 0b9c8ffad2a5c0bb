"""A key stream of ETSI GS QKD 004 as the KME that keeps it knows it: who is connected, and whose turn a chunk is.

The two ends of a stream get the same chunk under the same index, whoever asks first: that end orders the chunk's keys
at its own KME as their master, the other fetches their twins at its own. The KME where the stream was opened first
keeps it; the other end's asks there over a :class:`StreamClient`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from kms.admission.key_rate_reservations import QkdApp
from kms.errors import ExhaustedError, RequestError, UnauthorisedError

MAX_AHEAD = 256  # chunks that one end may be ahead of the other
ORDER_LASTS_S = 10.0  # an order that is not made by then never will be: its KME has died


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
    metadata_mimetype: str = "application/json"


@dataclass(frozen=True)
class Turn:
    """What an end has to do for a chunk: fetch ``master``'s keys with these ids, or order keys (None)."""

    made_at: float
    master: str
    key_ids: tuple[uuid.UUID, ...] | None


class StreamClient(Protocol):
    """Where one end asks about its stream: here (:class:`KeyStream`) or at another KME."""

    async def look(self, caller: str, index: int, next_index: int) -> Status:
        """Whether the chunk may be had: OK, GET_KEY_PEER_ABSENT or INSUFFICIENT_KEY. ``next_index`` is the caller's."""

    async def claim(self, caller: str, index: int) -> Turn:
        """Whose turn the chunk is; waits while the other end is at it."""

    async def ordered(self, caller: str, index: int, key_ids: Sequence[uuid.UUID]) -> None: ...

    async def failed(self, caller: str, index: int) -> None:
        """No keys came: the next to ask orders anew, who waits is told to ask again."""

    async def fetched(self, caller: str, index: int) -> None: ...

    async def leave(self, caller: str) -> Status: ...


@dataclass
class _Order:
    """A chunk that one end has ordered and the other has not fetched yet."""

    master: str
    made_at: float
    key_ids: asyncio.Future[tuple[uuid.UUID, ...]]


@dataclass
class KeyStream:
    app: QkdApp
    qos: Qos
    ends: tuple[str, str]
    clock: Callable[[], float]
    on_left: Callable[[], None]  # both ends have
    connected: set[str] = field(default_factory=set)
    used_at: float = field(init=False)  # its lease runs from here on
    _next_index: dict[str, int] = field(default_factory=dict)
    _orders: dict[int, _Order] = field(default_factory=dict)
    _done: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.used_at = self.clock()

    def connect(self, caller: str, destination: str) -> bool:
        """Let an end in; False when it is none of this stream's, or is here already."""
        if set(self.ends) != {caller, destination} or caller in self.connected:
            return False
        self.connected.add(caller)
        self.used_at = self.clock()
        return True

    async def look(self, caller: str, index: int, next_index: int) -> Status:
        self._require(caller)
        if len(self.connected) < 2:
            return Status.GET_KEY_PEER_ABSENT
        self._next_index[caller] = next_index
        behind = min(self._next_index.get(end, 0) for end in self.ends)
        # What is far behind both ends is over, and needs no list.
        self._done = {each for each in self._done if each >= behind - MAX_AHEAD}
        is_over = index in self._done or index < behind - MAX_AHEAD
        return Status.INSUFFICIENT_KEY if is_over or index > behind + MAX_AHEAD else Status.OK

    async def claim(self, caller: str, index: int) -> Turn:
        self._require(caller)
        # Chunks are asked for when both ends are there; who waits for the other alone does not keep the stream.
        self.used_at = self.clock()
        order, now = self._orders.get(index), self.clock()
        if index in self._done:
            raise RequestError("both ends have had the chunk")
        if order is not None and now - order.made_at > self.qos.ttl:
            del self._orders[index]
            self._done.add(index)
            raise ExhaustedError("the chunk has outlived its TTL")
        if order is not None and not order.key_ids.done() and now - order.made_at > ORDER_LASTS_S:
            order.key_ids.cancel()
            order = None
        if order is None:
            self._orders[index] = _Order(caller, now, asyncio.get_running_loop().create_future())
            return Turn(now, caller, None)
        if order.master == caller:
            raise RequestError("this end has had the chunk")
        try:
            key_ids = await asyncio.shield(order.key_ids)
        except asyncio.CancelledError:
            if not order.key_ids.cancelled():
                raise
            raise ExhaustedError("the other end got no keys for the chunk") from None
        return Turn(order.made_at, order.master, key_ids)

    async def ordered(self, caller: str, index: int, key_ids: Sequence[uuid.UUID]) -> None:
        order = self._orders.get(index)
        if order is None or order.master != caller or order.key_ids.done():
            raise ExhaustedError("the chunk was taken for lost meanwhile")
        order.key_ids.set_result(tuple(key_ids))

    async def failed(self, caller: str, index: int) -> None:
        order = self._orders.get(index)
        if order is not None and order.master == caller and not order.key_ids.done():
            del self._orders[index]
            order.key_ids.cancel()

    async def fetched(self, caller: str, index: int) -> None:
        order = self._orders.get(index)
        if order is not None and order.master != caller:
            del self._orders[index]
            self._done.add(index)

    async def leave(self, caller: str) -> Status:
        return self.disconnect(caller)

    def disconnect(self, caller: str) -> Status:
        self.connected.discard(caller)
        if not self.connected:
            self.on_left()
            return Status.OK
        return Status.PEER_NOT_CONNECTED

    def end(self) -> None:
        """Whoever is connected, the stream is over."""
        self.connected.clear()
        self.on_left()

    def _require(self, caller: str) -> None:
        if caller not in self.connected:
            raise UnauthorisedError("this end has not opened the key stream")
