"""Switches and tunnel agents compared with what they shall hold, and repaired by difference."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.forwarding.items import Item
from controller.forwarding.tunnel_endpoint import MODIFIABLE, endpoint_at, ends_of
from controller.model.connection import Connection
from controller.model.errors import DriverError
from controller.model.events import SwitchRepaired
from controller.model.states import ConnectionState
from controller.operations.context import OperationContext

log = logging.getLogger(__name__)

# An agent's business while the slice is on its way there or back.
IN_TRANSIT = (ConnectionState.PENDING, ConnectionState.INSTALLING, ConnectionState.LEAVING, ConnectionState.REMOVING)


class Reconciliation:
    """What is right already is not touched."""

    def __init__(self, context: OperationContext) -> None:
        self._context = context
        self._silent_agents: set[str] = set()

    def restore_tunnels(self) -> None:
        """Compare what the tunnel agents hold with what they shall: one that has restarted has forgotten everything."""
        for site in self._context.model.topology.site_names:
            self.restore_tunnels_at(site)

    def restore_tunnels_at(self, site: str) -> None:
        """As :meth:`restore_tunnels`, for one agent: it has just come back."""
        try:
            self._restore_tunnels_at(site)
            self._silent_agents.discard(site)
        except DriverError as error:
            if site not in self._silent_agents:
                log.warning("%s", error)
            self._silent_agents.add(site)

    def _restore_tunnels_at(self, site: str) -> None:
        context = self._context
        # Asked before the model is read: what a slice being created has added by now, the model knows by then.
        held = context.tunnels.held(site)
        with context.lock:
            here = [c for c in context.model.connections.values() if site in ends_of(c)]
            wanted = [
                c for c in here if c.state not in IN_TRANSIT and c.request.slice_name not in context.model.retained
            ]
        for orphan in sorted(held.keys() - {c.id for c in here}):
            log.info("tunnel agent at %s: %s is nobody's: removed", site, orphan)
            context.tunnels.remove(site, orphan)
        for connection in wanted:
            self._restore_tunnel(site, connection, held.get(connection.id))

    def restore_ends(self, connection: Connection) -> None:
        """Let both agents hold what the connection is now, the responder first. Raises DriverError."""
        for site in reversed(ends_of(connection)):
            self._restore_tunnel(site, connection, self._context.tunnels.held(site).get(connection.id))

    def _restore_tunnel(self, site: str, connection: Connection, held: Mapping[str, Any] | None) -> None:
        context = self._context
        end = endpoint_at(context.model.topology, connection, site)
        differing = end.differing(held) if held is not None else None
        if (differing is not None and not differing) or not self._is_wanted(connection):
            return
        if differing is None:
            log.info("tunnel agent at %s: %s is missing: added", site, connection.id)
            context.tunnels.add(site, end)
        elif differing <= MODIFIABLE:
            log.info("tunnel agent at %s: %s has other keys than it shall: modified", site, connection.id)
            context.tunnels.modify(site, end)
        else:
            log.info("tunnel agent at %s: %s is not as it shall be: replaced", site, connection.id)
            context.tunnels.remove(site, connection.id)
            context.tunnels.add(site, end)
        if not self._is_wanted(connection):  # deleted while the agent was being told
            context.tunnels.remove(site, connection.id)

    def _is_wanted(self, connection: Connection) -> bool:
        with self._context.lock:
            present = self._context.model.connections.get(connection.id)
            return (
                present is not None
                and present.number == connection.number
                and present.request == connection.request
                and present.state is not ConnectionState.REMOVING
            )

    def reconcile(self, site: str, read: Callable[[], Iterable[Item]]) -> bool:
        """Repair a switch; True when it was right already. One that refuses the repair is looked at again.

        ``read`` asks it what it holds. Raises DriverError.
        """
        context = self._context
        with context.lock:
            departures, revision = context.model.departures, context.model.intended.revision(site)
            in_hand = context.in_hand.get(site)
        installed = read()
        with context.lock:
            difference = context.model.intended.difference(site, installed)
            in_hand = context.in_hand.get(site, in_hand)
            if in_hand is not None:  # a device is, or was, at work on them: neither missing nor excess, nor done
                difference = difference.without(in_hand)
                if difference.is_empty:
                    return context.switches.is_ready(site)
            if difference.is_empty:
                context.model.confirm_comparison(site, departures, context.steady())
                return True
            counts = (len(difference.missing), len(difference.excess), len(difference.misconfigured))
            log.info("switch %s: %d missing, %d excess, %d misconfigured: repaired", site, *counts)
            # One that has just come holds what it held when it went, and what is being changed is not there yet.
            if context.switches.is_ready(site) and context.model.intended.revision(site) == revision:
                context.events.publish(SwitchRepaired(site, *counts))
            pending = context.switches.repair(site, context.model.repair(site, difference))
        context.wait_or_repair("repair", pending)
        return False
