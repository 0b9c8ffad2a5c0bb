"""What :mod:`controller.policy.key_supply` decides, carried out: tunnels told, followers told, journalled."""

from __future__ import annotations

import logging
from collections.abc import Collection

from controller.forwarding.tunnel_endpoint import endpoint_at
from controller.model.errors import DriverError
from controller.model.events import KeysRerouted, RekeyRestored, RekeySlowed, Violation
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.operations.context import OperationContext
from controller.policy import reroute_audit
from controller.policy.key_supply import KeySupply, SupplyChange

log = logging.getLogger(__name__)


class Rekeying:
    """Keeps connections in QKD keys, as well as can be."""

    def __init__(self, context: OperationContext) -> None:
        self._context = context
        self._supply = KeySupply(context.model)

    def review(self, stopped: Collection[str]) -> bool:
        """Look at the key supply; whether there is something to be moved or tried again for it."""
        context = self._context
        with context.lock:
            if not self._supply.is_tight(stopped):
                return False
        try:
            pools = context.key_rates.pools()
        except DriverError as error:
            log.warning("key pools unknown: %s", error)
            return False
        with context.lock:
            changes = self._supply.review(stopped, pools)
            for change in changes:
                self._tell(change)
            # Nothing waits for ways that are lost to be gone.
            context.switches.post(context.model.remove_old([c.after.id for c in changes if c.is_stranded]))
            context.save_slices_of([c.after.id for c in changes])
            for name in sorted({c.after.request.slice_name for c in changes}):
                context.refresh_state(name)
        for change in changes:
            if change.is_repaced:
                self._pace(change.after.id)
        return any(_came_back(c) or c.is_stranded or c.is_falling_back for c in changes)

    def _tell(self, change: SupplyChange) -> None:
        """Events in the order of what happened, and the proof of a relay that has moved. Call with the lock held."""
        context, after = self._context, change.after
        name, asked_s = after.request.slice_name, after.request.spec.rekey_s
        if change.is_slowed:
            assert after.slow_rekey is not None
            log.warning("connection %s: keys renewed every %g s: %s", after.id, after.rekey_s, after.slow_rekey.reason)
            context.events.publish(RekeySlowed(after.id, name, after.rekey_s, asked_s, after.slow_rekey.reason))
        if change.is_relay_moved:
            self._note(change)
        if change.is_restored:
            log.info("connection %s: keys renewed every %g s again", after.id, after.rekey_s)
            context.events.publish(RekeyRestored(after.id, name, after.rekey_s, asked_s))
        if after.state is not change.before.state:
            log.info("connection %s: %s %s", after.id, after.state.value, after.reason or "")
            context.announce_connection(after)

    def _note(self, change: SupplyChange) -> None:
        model, after = self._context.model, change.after
        name = after.request.slice_name
        reroute = reroute_audit.note(model.topology, change.before, after, self._context.clock(), Cause.KEYS)
        for wrong in reroute_audit.check(model.topology, reroute_audit.Asked.of(after.request), reroute):
            log.error("connection %s: its key relay is not what was asked for: %s", after.id, wrong)
            self._context.events.publish(Violation(after.id, name, wrong))
        model.record_reroute(after.id, reroute)
        self._context.events.publish(KeysRerouted(after.id, name, reroute))

    def _pace(self, connection_id: str) -> None:
        """Tell both ends, the responder first. An agent that is silent is told by the comparison with agents."""
        context = self._context
        with context.lock:
            connection = context.model.connections.get(connection_id)
            if connection is None or connection.state not in (ConnectionState.ACTIVE, ConnectionState.DEGRADED):
                return
            sites = (connection.request.dst, connection.request.src)
            ends = [(site, endpoint_at(context.model.topology, connection, site)) for site in sites]
        for site, end in ends:
            try:
                context.tunnels.modify(site, end)
            except DriverError as error:
                log.warning("connection %s: %s", connection_id, error)


def _came_back(change: SupplyChange) -> bool:
    return change.before.state is ConnectionState.DEGRADED and change.after.state is ConnectionState.ACTIVE
