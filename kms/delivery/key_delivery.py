"""What a KME does for an SAE: the use cases of ETSI 014 over pools, sources, transport and store.

One service serves all the KMEs of the process; the site of the KME that was asked is an argument everywhere, and a
site's KME hands out only the copies of that site.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from kms.admission.key_rate_reservations import FREE, Applications, KeyAccount
from kms.admission.waiting_room import WaitingRoom
from kms.delivery.key_making import KeyMaking, KeyOrder
from kms.delivery.key_transport import KeyTransport, bits_to_carry
from kms.delivery.requests import EXTENSION_UNMET, DeliveredKey, EncRequest
from kms.delivery.sae_registry import SaeRegistry
from kms.errors import (
    ExhaustedError,
    KeysForgottenError,
    KeysNotFoundError,
    NoRoomError,
    NoRouteError,
    RequestError,
    ShortOfKeyError,
    StoreError,
)
from kms.keys.changes import Change, SaveDelivery, SaveHome
from kms.keys.inventory import KeyInventory, PoolId
from kms.keys.key import UNCONSTRAINED, Delivery, Key, KeySource, RelayKind, RoutingConstraint
from kms.keys.ledger import Ledger, LedgerEntry, LedgerEvent, entries_of
from kms.keys.limits import Limits
from kms.keys.waiting_counts import Amount
from kms.sources.qkd.protocol import Entropy

# How long a request waits for QKD sections that are short of key, before it is refused: two seconds in all.
_ATTEMPTS, _BETWEEN_ATTEMPTS_S = 41, 0.05

_T = TypeVar("_T")


class ChangeWriter(Protocol):
    """:class:`kms.persistence.sqlite_store.Journal`, seen from here."""

    async def write(self, changes: Sequence[Change]) -> None: ...


@dataclass(frozen=True)
class Status:
    """ETSI 014, 6.1."""

    source_kme: str
    target_kme: str
    master: str
    slave: str
    stored_key_count: int
    stored_by_source: Mapping[str, int]


class KeyService:
    """The KMS's core. Runs in one event loop: whatever stands between two awaits is atomic."""

    def __init__(
        self,
        kme_ids: Mapping[str, str],
        limits: Limits,
        default_source: KeySource,
        registry: SaeRegistry,
        transport: KeyTransport,
        inventory: KeyInventory,
        ledger: Ledger,
        journal: ChangeWriter,
        entropy: Entropy,
        clock: Callable[[], float],
        applications: Applications | None = None,
    ) -> None:
        self.applications = applications
        self.kme_ids = dict(kme_ids)
        self.limits = limits
        self.default_source = default_source
        self.registry = registry
        self.inventory = inventory
        self.ledger = ledger
        self._room = WaitingRoom(limits, can_book=applications is not None)
        self._transport = transport
        self._making = KeyMaking(transport, limits, entropy)
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by the SAE that fetches
        self._journal = journal
        self._entropy = entropy
        self._clock = clock
        self.on_pool_used: Callable[[], None] = lambda: None

    # ETSI 014

    async def admit(self, site: str, sae: str, bound_site: str | None) -> None:
        """Let an authenticated SAE in at a site's KME and remember where it was. UnauthorisedError otherwise."""
        if self.registry.admit(site, sae, bound_site):
            await self._journal.write([SaveHome(sae, site)])

    def status(self, site: str, caller: str, slave: str) -> Status:
        """5.1. Asking for it opens the pool, so that it fills."""
        target = self._site_of_slave(slave)
        if target is None or target == site:
            # A key for this site, or for an SAE not seen yet, is drawn when it is asked for.
            stored, by_source = self.limits.max_key_count, {}
        else:
            pools = {p.source.label: p for p in self.inventory.pool_ids if p.sites == tuple(sorted((site, target)))}
            default = PoolId(site, target, self.default_source)
            self._open(default)
            by_source = {label: self.inventory.stored(pool_id) for label, pool_id in sorted(pools.items())}
            stored = self.inventory.stored(default)
        return Status(self.kme_ids[site], self.kme_ids[target or site], caller, slave, stored, by_source)

    async def enc_keys(self, site: str, caller: str, slave: str, request: EncRequest) -> list[DeliveredKey]:
        """5.2: keys for ``caller``, and for ``slave`` and the request's other slaves to fetch. All or none.

        Every key is in the store before this returns.
        """
        slaves = (slave, *request.additional_slaves)
        if slave in request.additional_slaves:
            raise RequestError(f"{slave} is named twice")
        # An SAE without a home is served from here until it shows up somewhere.
        homes = {name: self._site_of_slave(name) for name in slaves}
        sites = {name: home or site for name, home in homes.items()}
        remote = tuple(dict.fromkeys(place for place in sites.values() if place != site))
        source = request.source or self.default_source
        constraint = request.constraint
        if constraint != UNCONSTRAINED and None in homes.values():
            raise RequestError(EXTENSION_UNMET, (_unmet(constraint, "a slave's site is not known yet"),))
        if (constraint.route is RelayKind.RELAYED or constraint.disjoint_relays > 1) and site in sites.values():
            raise RequestError(EXTENSION_UNMET, (_unmet(constraint, "a slave is at this site"),))
        for place in remote:
            if not self._transport.can_join(source, site, place, constraint):
                if constraint != UNCONSTRAINED and self._transport.can_join(source, site, place):
                    raise RequestError(
                        EXTENSION_UNMET, (_unmet(constraint, f"no such {source.label} between these sites"),)
                    )
                if request.source is not None:
                    raise RequestError(EXTENSION_UNMET, ({"key_source": f"no {source.label} between these sites"},))
                raise ExhaustedError(f"no {source.label} keys can be had between {site} and {place}")
        amount = Amount(request.number, request.number * request.size_bits)
        is_booked = self.applications is not None and all(
            self.applications.is_booked(caller, name, source) for name in slaves
        )
        waiting = self.inventory.waiting
        self._room.require(waiting, caller, slaves, amount, is_booked)
        waiting.add(caller, slaves, amount)  # until they are counted as keys that wait
        try:
            return await self._deliver(site, caller, sites, remote, source, request, is_booked)
        finally:
            waiting.remove(caller, slaves, amount)

    async def _deliver(
        self, site: str, caller: str, sites: Mapping[str, str], remote: Sequence[str], source: KeySource,
        request: EncRequest, is_booked: bool,
    ) -> list[DeliveredKey]:  # fmt: skip
        """Make what was asked for and may be had: ``sites`` are those of the slaves, ``remote`` the other ones."""
        constraint, slaves = request.constraint, tuple(sites)
        now = self._clock()
        keep = frozenset(sites.values())
        # Who pays at what priority is settled before the keys count.
        accounts = {place: self._account_of_place(caller, place, sites, source) for place in remote}
        if self.applications is not None:
            self.applications.order(caller, slaves, source, request.number * request.size_bits, now)
        remote_kmes = [place for place in remote if not self._transport.is_here(place)]
        order = KeyOrder(
            site, tuple(remote), source, request.number, request.size_bits, constraint,
            None if request.max_age_s is None else now - request.max_age_s, accounts, now,
        )  # fmt: skip
        if remote and request.size_bits == self.limits.key_size:
            self._open(PoolId(site, remote[0], source))
        for is_last_attempt in (False, True):
            made = await self._patiently(lambda: self._making.obtain(order, self.inventory))
            keys = made.keys
            (delivery_id,) = self._making.new_ids(1)
            delivery = Delivery(delivery_id, caller, site, frozenset(slaves), now, _asked_route(constraint))
            try:
                for place in remote_kmes:
                    # From here on the keys are that KME's too: none goes back into the pool, whatever happens.
                    waiting = frozenset(name for name, home in sites.items() if home == place)
                    await self._transport.entrust(place, delivery, keys, waiting, is_booked)
                break
            except NoRoomError:
                if place == remote_kmes[0]:
                    made.undo()  # that KME looked before it took its copies, and nobody else has been asked
                raise
            except KeysForgottenError:
                self.inventory.drop_pools_with(place)
                if is_last_attempt:
                    raise
        here = frozenset(name for name, home in sites.items() if home not in remote_kmes)
        delivered = tuple(key.delivered(delivery, keep, here) for key in keys)
        kept = delivered if here else ()
        entries = entries_of(LedgerEvent.DELIVERED_TO_MASTER, delivered, site, caller, now)
        try:
            await self._journal.write([SaveDelivery(delivery.delivery_id, kept), *entries])
        except StoreError:
            if not remote_kmes:
                made.undo()
            raise
        self.inventory.await_slaves(kept)
        for entry in entries:
            self.ledger.add(entry)
        # A key that a slave will have brought to where nobody knows yet: its way is not known either.
        is_settled = all(self.registry.site_of(name) for name in slaves)
        return [
            DeliveredKey(key.key_id, key.copies[site], key.source, key.route if is_settled else None, key.relays)
            for key in keys
        ]

    async def dec_keys(self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID]) -> list[DeliveredKey]:
        """5.3: the twins of ``master``'s keys, each once. All or none; recorded before this returns."""
        try:
            keys = await self.hand_over(site, caller, master, key_ids)
        except KeysNotFoundError:
            claimed = await self._transport.claim(site, caller, master, key_ids)
            if claimed is None:
                raise
            keys = tuple(claimed)
        return [DeliveredKey(key.key_id, key.copies[site], key.source, key.route, key.relays) for key in keys]

    async def hand_over(self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID]) -> tuple[Key, ...]:
        """Keys that are held here, fetched by ``caller`` at ``site``, and recorded before this returns.

        With their copies at ``site``, but where that is another process, which has them now.
        """
        keys = self.inventory.find(key_ids, master, caller)
        if all(site in key.copies for key in keys):
            self.inventory.fetch(keys, caller)
        else:
            lock = self._fetching.setdefault(caller, asyncio.Lock())
            async with lock:  # asked twice at once, the keys are brought once
                on_their_way: set[uuid.UUID] = set()
                await self._patiently(lambda: self._bring(site, caller, master, key_ids, on_their_way))
                # Another request may have been faster while the copies travelled.
                keys = self.inventory.find(key_ids, master, caller)
                self.inventory.fetch(keys, caller)
        now = self._clock()
        entries = entries_of(LedgerEvent.FETCHED_BY_SLAVE, keys, site, caller, now)
        try:
            await self._journal.write([*self._what_is_left(keys), *entries])
        except StoreError:
            for key in keys:
                self.inventory.put_back(key, caller)
            # A fetch of other keys of the same delivery may have been recorded meanwhile, without these.
            with contextlib.suppress(StoreError):
                await self._journal.write(self._what_is_left(keys))
            raise
        for entry in entries:
            self.ledger.add(entry)
        return keys

    async def accept(
        self, site: str, delivery: Delivery, take: Callable[[], Sequence[Key]], amount: Amount,
        awaiting: frozenset[str], is_booked: bool,
    ) -> None:  # fmt: skip
        """Keep what another KME entrusts to ``site``; on disk when this returns.

        ``take`` gives the keys. It is called when there is room for them: NoRoomError leaves them where they are.
        """
        waiting = self.inventory.waiting
        self._room.require(waiting, delivery.master, tuple(awaiting), amount, is_booked)
        waiting.add(delivery.master, awaiting, amount)
        try:
            held = tuple(key.delivered(delivery, frozenset({site}), awaiting) for key in take())
            await self._journal.write([SaveDelivery(delivery.delivery_id, held)])
            self.inventory.await_slaves(held)
        finally:
            waiting.remove(delivery.master, awaiting, amount)

    def _what_is_left(self, keys: Sequence[Key]) -> list[Change]:
        deliveries = dict.fromkeys(key.known_delivery.delivery_id for key in keys)
        return [SaveDelivery(delivery_id, self.inventory.remaining(delivery_id)) for delivery_id in deliveries]

    # Upkeep

    def missing(self, pool_id: PoolId) -> int:
        """How many keys the pool lacks of its target."""
        return max(0, self.limits.pool_target - self.inventory.stored(pool_id))

    async def refill(self, pool_id: PoolId, count: int) -> int:
        """Make up to ``count`` keys for a pool now; how many. ExhaustedError when the source has none."""
        count = min(count, self.missing(pool_id))
        if count < 1:
            return 0
        a, b = self._ends_from_here(pool_id)
        now = self._clock()
        account = FREE if self.applications is None else self.applications.background_account(now)
        keys = await self._making.make(
            a, b, pool_id.source, count, self.limits.key_size, now, UNCONSTRAINED, account
        )  # fmt: skip
        return self.inventory.stock(pool_id, keys)

    async def expire(self) -> int:
        """Drop the keys whose time is over, in memory and in the store; how many."""
        now = self._clock()
        expired = self.inventory.expire(now)
        if expired:
            delivered = [key for key in expired if key.delivery is not None]
            entries: list[LedgerEntry] = []
            by_place: dict[str | None, list[Key]] = {}
            for key in expired:
                by_place.setdefault(key.delivery.master_site if key.delivery else None, []).append(key)
            for place, there in by_place.items():
                entries += entries_of(LedgerEvent.EXPIRED, there, place, None, now)
            await self._journal.write([*self._what_is_left(delivered), *entries])
            for entry in entries:
                self.ledger.add(entry)
        return len(expired)

    # Where keys come from

    async def _patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """The attempt's result, tried again for a moment while QKD sections on the way are making key."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await attempt()
            except ShortOfKeyError:
                await asyncio.sleep(_BETWEEN_ATTEMPTS_S)
        return await attempt()

    def _site_of_slave(self, slave: str) -> str | None:
        is_known, home = self.registry.look_up(slave)
        if not is_known:
            raise RequestError(f"unknown SAE {slave[:64]!r}")
        return home

    def _open(self, pool_id: PoolId) -> None:
        if self._transport.can_join(pool_id.source, *self._ends_from_here(pool_id)):
            self.inventory.open(pool_id)
            self.on_pool_used()

    def _ends_from_here(self, pool_id: PoolId) -> tuple[str, str]:
        return pool_id.sites if self._transport.is_here(pool_id.a) else (pool_id.b, pool_id.a)

    async def _bring(
        self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID], on_their_way: set[uuid.UUID]
    ) -> None:
        """Bring keys to the KME of ``site`` where their slave was not expected there, all of them at once.

        ``on_their_way`` are those that another process has already got in this request.
        """
        groups: dict[tuple[KeySource, int, str], list[Key]] = {}
        for key in self.inventory.find(key_ids, master, caller):
            if site not in key.copies and key.key_id not in on_their_way:
                groups.setdefault((key.source, key.size_bits, self._holder(site, key)), []).append(key)
        if len(groups) > 1:
            for source, _, holder in groups:
                journeys = [
                    (site, len(same), bits_to_carry(source, size_bits))
                    for (other, size_bits, place), same in groups.items()
                    if (other, place) == (source, holder)
                ]
                self._transport.require(source, holder, journeys, UNCONSTRAINED)
        for (source, _, holder), keys in groups.items():
            account = self._account(caller, master, source)
            brought = await self._making.bring(keys, holder, site, UNCONSTRAINED, account)
            self.inventory.note_arrival(brought)
            on_their_way.update(key.key_id for key in keys)

    def _holder(self, site: str, key: Key) -> str:
        """Where a key is that is to be brought to ``site``; NoRouteError when it cannot be."""
        if key.known_delivery.route is not None:
            raise NoRouteError(f"key {key.key_id} was asked for by a route to its slave's site, which was not this one")
        master_site = key.known_delivery.master_site
        holder = master_site if master_site in key.copies else next(iter(key.copies))
        if not self._transport.can_join(key.source, holder, site):
            raise NoRouteError(f"key {key.key_id} cannot be brought to this KME by its source {key.source.label}")
        return holder

    def _account_of_place(self, caller: str, place: str, sites: Mapping[str, str], source: KeySource) -> KeyAccount:
        """Who pays for the way to ``place``: the caller, by the best of its applications with the slaves there."""
        accounts = [self._account(caller, name, source) for name, home in sites.items() if home == place]
        return accounts[0] if len(accounts) == 1 else max(accounts, key=lambda account: account.priority)

    def _account(self, payer: str, peer: str, source: KeySource) -> KeyAccount:
        return FREE if self.applications is None else self.applications.account(payer, peer, source, self._clock())

    def random_bytes(self, count: int) -> bytes:
        """Fresh random bytes of this node's generator, which are nobody's key."""
        return self._entropy(count)


def _asked_route(constraint: RoutingConstraint) -> RelayKind | None:
    """What the delivery keeps of the constraint: whoever asked for several relays did not ask for any route."""
    return RelayKind.RELAYED if constraint.route is None and constraint.disjoint_relays > 1 else constraint.route


def _unmet(constraint: RoutingConstraint, why: str) -> dict[str, str]:
    """Which extension cannot be met, and why."""
    return {"disjoint_relays" if constraint.disjoint_relays > 1 else "route": why}
