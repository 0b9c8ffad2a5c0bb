"""Shares of relayed messages that came over disjoint relays and wait for the others. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kms.errors import ExchangeError, ExhaustedError

WAIT_S = 60.0
MAX_WAITING = 10_000


@dataclass(frozen=True)
class Share:
    message: bytes = field(repr=False)
    crossings: int  # of sections, on its path


@dataclass
class _Message:
    began_at: float
    count: int
    shares: dict[int, Share] = field(default_factory=dict, repr=False)


class ShareCollector:
    """Shares by the site that sent the message and its batch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[tuple[str, str], _Message] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, name: tuple[str, str], count: int, number: int, share: Share) -> list[Share] | None:
        """All shares in order once there are ``count``, which are gone from here then; None while some are missing."""
        now = self._clock()
        # In the order of their coming.
        for waiting, message in tuple(self._waiting.items()):
            if message.began_at + WAIT_S > now:
                break
            del self._waiting[waiting]
        if name not in self._waiting and len(self._waiting) >= MAX_WAITING:
            raise ExhaustedError("too many relayed messages wait for their other shares")
        message = self._waiting.setdefault(name, _Message(now, count))
        lengths = {len(each.message) for each in (share, *message.shares.values())}
        if message.count != count or number in message.shares or len(lengths) != 1:
            raise ExchangeError("the shares of a relayed message do not belong together")
        message.shares[number] = share
        if len(message.shares) < count:
            return None
        del self._waiting[name]
        return [message.shares[n] for n in range(count)]
