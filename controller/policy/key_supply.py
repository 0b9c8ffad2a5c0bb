"""Whether connections' QKD keys can still be made where that was reserved, and what to do when not. Pure decisions.

A section that has stopped, or gives less than is reserved on it, leaves connections short of key. For each of them, the
most urgent first (see :func:`controller.policy.restoration.rank`):

1. its tunnel renews keys less often, so that those in store last, but well within their lifetime;
2. another relay that has the rate is reserved, or failing that the best slower rate that the policy allows;
3. if there is none, a fallback that the request lists is left to :mod:`controller.policy.security_fallback`, which
   undoes it when there is rate again (dark channels are of no use: they bring no keys). While a section that may help
   has not been judged nobody falls back: a rate that is unknown is not one that is too low;
4. else it is DEGRADED: it keeps its way and lives on the keys in store and then on its last one;
5. when there is rate again it is reserved, and keys are renewed as asked.

Without a fallback the key source never changes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from controller.model.connection import Connection, SlowRekey, owner_of
from controller.model.key_rates import RATE_TOLERANCE, KeyPool
from controller.model.reason import UNEXPLAINED, Reason, ReasonCode, keys_unknown
from controller.model.request import KEY_BITS, Protection
from controller.model.states import ConnectionState
from controller.pce.key_relay import FoundRelay, fewest_crossings
from controller.pce.network import OverCommitted
from controller.pce.route_query import key_query, relay_of, search_relay
from controller.policy import security_fallback
from controller.policy.restoration import is_route_up, rank
from controller.state.network_state import NetworkState

# Keys in store shall last this long when no more come: time to find and mend a fibre, or the man who taps it.
BRIDGE_S = 600.0
# Proof that a relay delivers: so many keys in store.
PROVEN_KEYS = 2
UNCONFIRMED = Reason(ReasonCode.UNCONFIRMED, "there is key for it again, and its probes have not passed yet")
NO_RELAY = FoundRelay((), ())


@dataclass(frozen=True)
class SupplyChange:
    """What was decided about one connection."""

    before: Connection
    after: Connection

    @property
    def is_slowed(self) -> bool:
        return self.after.slow_rekey is not None and self.after.rekey_s > self.before.rekey_s

    @property
    def is_restored(self) -> bool:
        return self.after.slow_rekey is None and self.before.slow_rekey is not None

    @property
    def is_repaced(self) -> bool:
        """Whether the tunnels are to be told."""
        return self.after.rekey_s != self.before.rekey_s

    @property
    def is_falling_back(self) -> bool:
        """Whether it is to be put on a fallback."""
        return self.after.state is ConnectionState.ACTIVE and self.after.is_keyless

    @property
    def is_stranded(self) -> bool:
        """Whether it has lost its way too: it is then any DEGRADED connection that waits for one."""
        return bool(self.before.lanes) and not self.after.lanes

    @property
    def is_relay_moved(self) -> bool:
        """Whether keys come another way than before, from wherever they came."""
        before, after = self.before.route, self.after.route
        return (
            after is not None and bool(after.key_links) and before is not None and before.key_links != after.key_links
        )


class KeySupply:
    """Looks at all QKD connections; to be asked whenever the KMS has been."""

    def __init__(self, model: NetworkState) -> None:
        self._model = model
        self._proven_after: set[str] = set()  # connections whose relay has just been reserved: not proven yet

    def is_tight(self, stopped: Collection[str]) -> bool:
        """Whether anything is, or has to be, decided: else nobody need ask how full the pools are."""
        return any(c.slow_rekey is not None or c.is_keyless for c in self._candidates()) or bool(self._short(stopped))

    def review(self, stopped: Collection[str], pools: Mapping[KeyPool, int]) -> list[SupplyChange]:
        """Decide, with ``stopped`` the sections that the KMS has stopped; the network must hold the present rates."""
        short = self._short(stopped)
        waiting = [c for c in self._candidates() if c.slow_rekey is not None or c.is_keyless]
        stranded = [c for c in waiting if self._is_stranded(c)]
        for connection in stranded:
            self._model.drop_lanes(connection.id, connection.lanes)
            self._model.restore_pace(connection.id)
            self._model.note_reason(connection.id, UNEXPLAINED)
        lost = [SupplyChange(c, self._model.connections[c.id]) for c in stranded]
        waiting = [c for c in waiting if c not in stranded]
        before = {c.id: c for c in (*short, *waiting)}
        culprits = {c.id: self._culprit(c, stopped) for c in short}
        for connection in short:
            self._model.set_relay(connection.id, NO_RELAY, 0)
        for connection in sorted(before.values(), key=rank):
            if connection.id in culprits:
                self._slow_down(connection.id, self._pool_pace(connection, pools), culprits[connection.id])
                self._proven_after.add(connection.id)
        for connection in sorted(before.values(), key=rank):
            self._supply(connection, pools, stopped, culprits.get(connection.id))
        changes = [SupplyChange(was, self._model.connections[was.id]) for was in sorted(before.values(), key=rank)]
        return [*lost, *(c for c in changes if c.before != c.after)]

    def _is_stranded(self, connection: Connection) -> bool:
        """Whether it has neither keys nor a way that works, and may have another way."""
        is_up = any(is_route_up(self._model, lane.route) for lane in connection.lanes)
        may_move = connection.request.spec.protection is not Protection.NONE
        return connection.state is ConnectionState.DEGRADED and connection.is_keyless and may_move and not is_up

    def _candidates(self) -> list[Connection]:
        """Connections that want QKD keys and are not on the move: those are looked at when they have arrived."""
        settled = (ConnectionState.ACTIVE, ConnectionState.DEGRADED)
        return [
            c
            for c in self._model.connections.values()
            if c.lanes
            and c.in_force.key_rate_millibps
            and c.state in settled
            and c.request.slice_name not in self._model.retained
        ]

    def _short(self, stopped: Collection[str]) -> list[Connection]:
        """Whose keys are reserved where there are none, and on sections that give too little the least urgent."""
        network = self._model.network
        paying = [c for c in self._candidates() if c.lanes[0].route.key_sections]
        found = {c.id: c for c in paying if any(s in stopped for s, _ in c.lanes[0].route.key_sections)}
        for section in network.topology.sections:
            if section.id in stopped or not network.is_section_usable(section.id):
                continue
            excess = network.reserved_key_millibps(section.id) - RATE_TOLERANCE * network.key_rate_millibps(section.id)
            for connection in sorted(paying, key=rank, reverse=True):
                if excess <= 0:
                    break
                times = dict(connection.lanes[0].route.key_sections).get(section.id, 0)
                if times and connection.id not in found:
                    found[connection.id] = connection
                if times:
                    excess -= times * self._reserved_millibps(connection)
        return list(found.values())

    def _supply(
        self, was: Connection, pools: Mapping[KeyPool, int], stopped: Collection[str], culprit: str | None
    ) -> None:
        """Find keys for one that has none, or fewer than it asked for."""
        model, wanted = self._model, was.request.spec.key_rate_millibps
        now = model.connections[was.id]
        reserved = self._reserved_millibps(now)
        if reserved < wanted:
            reserved = self._reserve_most(now, reserved, is_patient=culprit is None)
        now = model.connections[was.id]
        if reserved:
            if was.is_keyless:
                self._return_to_service(now)
            if reserved >= wanted and self._is_proven(now, pools):
                model.restore_pace(now.id)
            elif reserved < wanted:
                self._slow_down(now.id, KEY_BITS * 1000 / reserved, culprit or _section_named(now))
            self._proven_after.discard(now.id)
            return
        self._proven_after.discard(now.id)
        section = culprit or self._bottleneck(now)
        awaited = self._awaited(now)
        why = keys_unknown(awaited) if awaited else self._shortage(now, section, stopped)
        if not awaited and now.state is ConnectionState.ACTIVE and security_fallback.has_way(model, now):
            self._set_pace(now.id, was.slow_rekey)  # what it has is as before, until the fallback is there
            model.note_reason(now.id, why)
            return
        self._slow_down(now.id, self._pool_pace(now, pools), section)
        self._degrade(now.id, why)

    def _reserve_most(self, connection: Connection, reserved: int, *, is_patient: bool) -> int:
        """Reserve the rate asked for, or the best that the policy allows; the rate that is reserved then, or 0.

        One that has a slower rate already keeps it until it can have all (``is_patient``): no searching at every look.
        """
        model, wanted = self._model, connection.request.spec.key_rate_millibps
        least = _least_millibps(connection)
        held = connection.lanes[0].route
        if reserved:
            model.set_relay(connection.id, NO_RELAY, 0)
        relay = search_relay(model.network, connection.request)
        rate, is_kept = wanted, False
        if relay is None and reserved and is_patient:
            relay, rate, is_kept = relay_of(model.network, held), reserved, True
        elif relay is None:
            relay, rate = self._best_slower(connection, least, wanted)
        if relay is None:
            return 0
        try:
            model.set_relay(connection.id, relay, rate, is_kept=is_kept)
        except OverCommitted:
            model.set_relay(connection.id, NO_RELAY, 0)
            return 0
        return rate

    def _best_slower(self, connection: Connection, least: int, wanted: int) -> tuple[FoundRelay | None, int]:
        """The relay with the highest rate from ``least`` up to below ``wanted``, and that rate."""
        network = self._model.network
        query = key_query(network, connection.request)
        best, enough, too_much = fewest_crossings(network, replace(query, rate_millibps=least)), least, wanted
        if best is None:
            return None, 0
        while too_much - enough > max(1, enough // 50):
            rate = (enough + too_much) // 2
            relay = fewest_crossings(network, replace(query, rate_millibps=rate))
            if relay is None:
                too_much = rate
            else:
                best, enough = relay, rate
        return best, enough

    def _awaited(self, connection: Connection) -> frozenset[str]:
        """The sections whose rates are unknown, if with them it may have a relay."""
        unknown = self._model.network.unknown_sections
        if not unknown:
            return frozenset()
        network = self._model.network.supplied()
        query = replace(key_query(network, connection.request), rate_millibps=_least_millibps(connection))
        relay = fewest_crossings(network, query)
        return frozenset() if relay is None else unknown & {network.index.section_ids[s] for s, _ in relay.crossings}

    def _return_to_service(self, connection: Connection) -> None:
        """One that was DEGRADED for want of keys is so no more, if its way works."""
        model = self._model
        is_up = any(is_route_up(model, lane.route) for lane in connection.lanes)
        if connection.state is not ConnectionState.DEGRADED or not is_up:
            return
        if model.is_denied(connection.id):
            model.note_reason(connection.id, UNCONFIRMED)
        else:
            model.set_state(connection.id, ConnectionState.ACTIVE)

    def _shortage(self, connection: Connection, section: str, stopped: Collection[str]) -> Reason:
        needed = connection.request.spec.key_rate_millibps / 1000
        available = 0.0 if section in stopped else self._model.network.residual_key_millibps(section) / 1000
        rates = f"{available:.1f} of the {needed:.1f} bit/s needed"
        sentence = f"no QKD keys: section {section} gives {rates}, and no other relay has the rate"
        return Reason(ReasonCode.NO_KEYS, sentence, (section,))

    def _degrade(self, connection_id: str, why: Reason) -> None:
        model = self._model
        connection = model.connections[connection_id]
        if connection.state is ConnectionState.ACTIVE:
            connection = model.set_state(connection_id, ConnectionState.DEGRADED)
        lifetime_s = connection.request.spec.key_lifetime_s
        reason = replace(why, detail=f"{why}; keys in store serve on, each for {lifetime_s:g} s at most")
        if connection.state is ConnectionState.DEGRADED:
            model.note_reason(connection_id, reason)

    def _slow_down(self, connection_id: str, rekey_s: float, section: str) -> None:
        connection = self._model.connections[connection_id]
        asked = connection.request.spec.rekey_s
        paced = min(rekey_s, slowest_s(connection))
        slow = connection.slow_rekey
        if paced <= asked:
            slow = None
        elif slow is None or slow.rekey_s != paced:
            slow = SlowRekey(paced, f"QKD section {section} gives too little key to renew it every {asked:g} s")
        self._set_pace(connection_id, slow)

    def _set_pace(self, connection_id: str, slow: SlowRekey | None) -> None:
        if slow is None:
            self._model.restore_pace(connection_id)
        else:
            self._model.slow_down(connection_id, slow)

    def _pool_pace(self, connection: Connection, pools: Mapping[KeyPool, int]) -> float:
        """Seconds between renewals with which the keys in store last for BRIDGE_S, in doublings of what was asked for:
        a tunnel is told now and then, not at each look."""
        asked, stored = connection.request.spec.rekey_s, pools.get(_pool_of(connection), 0)
        if not stored:
            return slowest_s(connection)
        shared = BRIDGE_S * len(self._sharers(connection)) / stored
        return asked * 2.0 ** max(0, math.ceil(math.log2(shared / asked)))

    def _is_proven(self, connection: Connection, pools: Mapping[KeyPool, int]) -> bool:
        """Whether its relay may be believed: not at the look at which it was chosen, nor while the pool is empty."""
        pool = _pool_of(connection)
        is_stocked = pools.get(pool, PROVEN_KEYS) >= PROVEN_KEYS
        return connection.id not in self._proven_after and is_stocked

    def _sharers(self, connection: Connection) -> list[Connection]:
        return [c for c in self._candidates() if _pool_of(c) == _pool_of(connection)] or [connection]

    def _reserved_millibps(self, connection: Connection) -> int:
        return self._model.network.reserved_rate_millibps(owner_of(connection, connection.lanes[0]))

    def _culprit(self, connection: Connection, stopped: Collection[str]) -> str:
        """The section on its relay that has stopped, else the one that is over-committed most."""
        sections = [s for s, _ in connection.lanes[0].route.key_sections]
        network = self._model.network
        return next(
            (s for s in sections if s in stopped),
            min(sections, key=lambda s: network.key_rate_millibps(s) - network.reserved_key_millibps(s)),
        )

    def _bottleneck(self, connection: Connection) -> str:
        """The section that limits the shortest relay there would be."""
        network = self._model.network
        query = replace(key_query(network, connection.request), is_hypothetical=True)
        relay = fewest_crossings(network, query)
        if relay is None:
            return f"{connection.request.src}-{connection.request.dst}"
        worst = min(relay.crossings, key=lambda crossing: (network.key_headroom(crossing[0]) // crossing[1], crossing))
        return network.index.section_ids[worst[0]]


def slowest_s(connection: Connection) -> float:
    """The policy's limit: half of the lifetime, so that a renewal that fails has as long again to succeed."""
    return max(connection.request.spec.rekey_s, connection.request.spec.key_lifetime_s / 2)


def _least_millibps(connection: Connection) -> int:
    return math.ceil(KEY_BITS * 1000 / slowest_s(connection))


def _pool_of(connection: Connection) -> KeyPool:
    a, b = sorted((connection.request.src, connection.request.dst))
    return KeyPool(a, b, connection.key_source)


def _section_named(connection: Connection) -> str:
    return ", ".join(s for s, _ in connection.lanes[0].route.key_sections)
