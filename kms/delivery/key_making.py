"""Keys for a delivery: out of pools, freshly agreed on, and brought to the sites where they are fetched.

All or none: what cannot be brought everywhere now is not begun, so that trying again takes nothing twice, and what was
made for a delivery that failed goes into its pool.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kms.admission.key_rate_reservations import KeyAccount
from kms.delivery.key_transport import KeyTransport, bits_to_carry
from kms.keys.inventory import KeyInventory, PoolId
from kms.keys.key import UNCONSTRAINED, Key, KeySource, RoutingConstraint
from kms.keys.limits import Limits
from kms.sources.qkd.protocol import Entropy


class KeyOrder(NamedTuple):
    """Keys that are wanted at ``site`` and at ``remote`` ones; ``accounts`` says who pays for the way to each."""

    site: str
    remote: tuple[str, ...]
    source: KeySource
    number: int
    size_bits: int
    constraint: RoutingConstraint
    made_since: float | None
    accounts: Mapping[str, KeyAccount]
    now: float


class MadeKeys(NamedTuple):
    keys: list[Key]
    undo: Callable[[], None]  # once: the keys go to nobody


class KeyMaking:
    def __init__(self, transport: KeyTransport, limits: Limits, entropy: Entropy) -> None:
        self._transport = transport
        self._limits = limits
        self._entropy = entropy

    async def obtain(self, order: KeyOrder, inventory: KeyInventory) -> MadeKeys:
        """Keys with copies at all of the order's sites. ShortOfKeyError with nothing taken."""
        if not order.remote:
            return MadeKeys(self._draw(order), lambda: None)
        first, *others = order.remote
        pool_id = PoolId(order.site, first, order.source)
        from_pool: tuple[Key, ...] = ()
        made: list[Key] = []
        is_pool_size = order.size_bits == self._limits.key_size

        def undo() -> None:
            if from_pool:
                inventory.give_back(pool_id, from_pool)
            if made and is_pool_size:
                inventory.stock(pool_id, made)

        if is_pool_size:
            from_pool = inventory.take(pool_id, order.number, _what_suits(order))
        missing = order.number - len(from_pool)
        try:
            if others:
                journeys = [(first, missing, order.size_bits)] if missing else []
                carried_bits = bits_to_carry(order.source, order.size_bits)
                journeys += [(place, order.number, carried_bits) for place in others]
                self._transport.require(order.source, order.site, journeys, order.constraint)
            order.accounts[first].charge(sum(key.crossings * key.size_bits for key in from_pool))
            if missing:
                made += await self.make(
                    order.site, first, order.source, missing, order.size_bits, order.now, order.constraint,
                    order.accounts[first],
                )  # fmt: skip
            keys = [*from_pool, *made]
            for place in others:
                keys = await self.bring(keys, order.site, place, order.constraint, order.accounts[place])
        except BaseException:  # a request that is given up too: its keys would be nobody's
            undo()
            raise
        return MadeKeys(keys, undo)

    async def make(
        self, a: str, b: str, source: KeySource, count: int, size_bits: int, now: float,
        constraint: RoutingConstraint, account: KeyAccount,
    ) -> list[Key]:  # fmt: skip
        """Fresh keys between two sites."""
        key_ids = self.new_ids(count)
        agreed = await self._transport.agree(source, a, b, key_ids, size_bits, constraint, account)
        return [
            Key(
                key_id, source, size_bits, now, {a: each.at_a} if each.at_b is None else {a: each.at_a, b: each.at_b},
                crossings=each.crossings, relays=each.relays,
            )
            for key_id, each in zip(key_ids, agreed, strict=True)
        ]  # fmt: skip

    async def bring(
        self, keys: Sequence[Key], holder: str, place: str, constraint: RoutingConstraint, account: KeyAccount
    ) -> list[Key]:
        """Keys of one source and size once their copies at ``holder`` have come to ``place`` too."""
        held = [(key.key_id, key.copies[holder]) for key in keys]
        carried = await self._transport.carry(keys[0].source, held, holder, place, constraint, account)
        return [
            key.arrived(place, each.copy, each.crossings, each.relays) for key, each in zip(keys, carried, strict=True)
        ]

    def _draw(self, order: KeyOrder) -> list[Key]:
        length = order.size_bits // 8
        drawn = self._entropy(length * order.number)
        return [
            Key(key_id, order.source, order.size_bits, order.now, {order.site: drawn[n * length : (n + 1) * length]})
            for n, key_id in enumerate(self.new_ids(order.number))
        ]

    def new_ids(self, count: int) -> list[uuid.UUID]:
        drawn = self._entropy(16 * count)
        return [uuid.UUID(bytes=drawn[place : place + 16], version=4) for place in range(0, len(drawn), 16)]


def _what_suits(order: KeyOrder) -> Callable[[Key], bool] | None:
    """Which of a pool's keys the order may be served with; None for all of them."""
    constraint = order.constraint
    if constraint == UNCONSTRAINED and order.made_since is None:
        return None
    made_since = float("-inf") if order.made_since is None else order.made_since
    return lambda key: (
        key.made_at >= made_since and constraint.route in (None, key.route) and key.relays >= constraint.disjoint_relays
    )
