"""Pools of agreed and relayed keys, kept at their target; old keys expire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from kms.background.waiting import wait_for
from kms.delivery.key_delivery import KeyService
from kms.errors import ExchangeError, ExhaustedError, StoreError
from kms.keys.inventory import PoolId
from kms.keys.key import Source
from kms.sources.agreement import KEYS_PER_AGREEMENT

_log = logging.getLogger(__name__)

FILL_RETRY_S = 0.25
FAULT_RETRY_S = 5.0
FULL_LOOK_S = 5.0  # while all pools are full: what takes from them says so, but for keys whose time is over
# Keys of one filling: of QKD as few as poor sections can bear, else those of a whole agreement.
_QKD_BATCH, _BATCH = 32, KEYS_PER_AGREEMENT
# A pool that is not low is filled when nobody has asked for a key for this long: those who set up a slice ask for
# several keys in a row, and exchanges made between two requests would make the later one wait.
QUIET_S = 0.03
_LOW_BELOW = 0.25  # of the pool's target
EXPIRY_INTERVAL_S = 5.0


def should_fill(stored: int, target: int, quiet_s: float) -> bool:
    """Whether to make a key for a pool now, ``quiet_s`` after the last request; otherwise that can wait."""
    if stored >= target:
        return False
    return stored < target * _LOW_BELOW or quiet_s >= QUIET_S


class PoolFiller:
    """Keeps every open pool at its target, a batch of keys at a time: an exchange takes a millisecond, its keys as long
    again, and nobody is served meanwhile.
    """

    def __init__(self, service: KeyService, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._retry_at: dict[PoolId, float] = {}
        self._used_at = float("-inf")
        self._is_short = True
        self._wake = asyncio.Event()
        service.on_pool_used = self._note_use

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            made = self._is_short = False
            for pool_id in self._service.inventory.pool_ids:
                if await self._fill(pool_id):
                    made = True
                    # Requests come between any two batches.
                    await asyncio.sleep(0)
            if not made:
                await wait_for(self._wake, self._pause())

    def _note_use(self) -> None:
        self._used_at = self._clock()
        self._wake.set()

    def _pause(self) -> float:
        """Seconds until there may be something to do that no request announces."""
        quiet_s = self._clock() - self._used_at
        if quiet_s < QUIET_S:
            return QUIET_S - quiet_s
        return FILL_RETRY_S if self._is_short else FULL_LOOK_S

    async def _fill(self, pool_id: PoolId) -> bool:
        now = self._clock()
        stored, target = self._service.inventory.stored(pool_id), self._service.limits.pool_target
        self._is_short = self._is_short or stored < target
        if self._retry_at.get(pool_id, now) > now:
            return False
        if not should_fill(stored, target, now - self._used_at):
            return False
        try:
            batch = _QKD_BATCH if Source.QKD in pool_id.source.parts else _BATCH
            return await self._service.refill(pool_id, batch) > 0
        except (ExhaustedError, ExchangeError) as error:
            _log.debug("pool %s-%s %s: %s", pool_id.a, pool_id.b, pool_id.source.label, error)
            self._retry_at[pool_id] = now + FILL_RETRY_S
            return False
        except Exception:  # noqa: BLE001 -- what ails one pool is not to concern the others
            _log.exception("pool %s-%s %s could not be filled", pool_id.a, pool_id.b, pool_id.source.label)
            self._retry_at[pool_id] = now + FAULT_RETRY_S
            return False


async def expire_keys(service: KeyService) -> None:
    """Drop keys whose time is over, until cancelled."""
    while True:
        await asyncio.sleep(EXPIRY_INTERVAL_S)
        try:
            count = await service.expire()
        except StoreError as error:
            _log.error("expired keys stay in the store: %s", error)
            continue
        if count:
            _log.info("%d keys expired", count)
