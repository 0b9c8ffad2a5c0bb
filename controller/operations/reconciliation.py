"""After a restart, of this process or of what it drives: the journal read, switches and agents put right."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from controller.forwarding.items import Item
from controller.forwarding.tunnel_endpoint import ends_of, tunnel_end
from controller.model.connection import Connection
from controller.model.errors import DriverError
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.operations.context import BARRIER_DEADLINE_S, Engine, log_faults
from controller.operations.deletion import Removal

log = logging.getLogger(__name__)

# An agent's business while the slice is on its way there or back.
IN_TRANSIT = (ConnectionState.PENDING, ConnectionState.INSTALLING, ConnectionState.LEAVING, ConnectionState.REMOVING)
# What an agent changes of a connection at work.
MODIFIABLE = (
    "key_source", "suite", "rekey_s", "lifetime_s", "expects_copies", "repairs", "replay_window", "rate_kbps",
)  # fmt: skip


class Recovery:
    """Whole or gone: nothing stays half done."""

    def __init__(self, engine: Engine, removal: Removal) -> None:
        self._engine = engine
        self._removal = removal
        self._silent_agents: set[str] = set()

    def load(self) -> None:
        """Take over what the journal holds; call once, before any switch is heard.

        A slice that was being modified is in its old form until the new one had been proven, and in its new form then.
        """
        engine, model = self._engine, self._engine.model
        with engine.lock:
            model.restore(engine.journal.load())
            for record in list(model.slices.values()):
                log.info("slice %s: %s, from the journal", record.name, record.state.value)
                if record.state is SliceState.MODIFYING:
                    model.settled(record.name)
                    engine.save_if_possible(record.name)

    def recover(self) -> None:
        """Finish what the last process left half done: undo creations, complete deletions, tell the tunnel agents."""
        engine = self._engine
        with engine.lock:
            records = list(engine.model.slices.values())
            for record in records:
                if record.state is SliceState.PROVISIONING:
                    engine.model.set_slice_state(record.name, SliceState.DELETING)
        for record in records:
            if record.state in (SliceState.PROVISIONING, SliceState.DELETING):
                log.info("slice %s was %s when the last process ended: removed", record.name, record.state.value)
                try:
                    self._removal.remove(record.name, SliceState.DELETED)
                    if record.state is SliceState.PROVISIONING and record.request.start is not None:
                        self._schedule_again(record)
                except DriverError as error:
                    log.warning("slice %s: %s; it will be tried again", record.name, error)
        self.restore_tunnels()

    def _schedule_again(self, record: SliceRecord) -> None:
        """Nobody waits for the answer of a scheduled slice who could ask again: its start is due, and tried anew."""
        engine = self._engine
        with engine.lock:
            scheduled = SliceRecord(record.request, None, (), SliceState.SCHEDULED, created_at=record.created_at)
            engine.journal.save((scheduled, ()))
            engine.model.schedule(scheduled)
            engine.announce(scheduled)

    def restore_tunnels(self) -> None:
        """Compare what the tunnel agents hold with what they shall: one that has restarted has forgotten everything."""
        for site in self._engine.model.topology.site_names:
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
        engine = self._engine
        # Asked before the model is read: what a slice being created has added by now, the model knows by then.
        held = engine.tunnels.held(site)
        with engine.lock:
            here = [c for c in engine.model.connections.values() if site in ends_of(c)]
            wanted = [
                c for c in here if c.state not in IN_TRANSIT and c.request.slice_name not in engine.model.retained
            ]
        for orphan in sorted(held.keys() - {c.id for c in here}):
            log.info("tunnel agent at %s: %s is nobody's: removed", site, orphan)
            engine.tunnels.remove(site, orphan)
        for connection in wanted:
            self._restore_tunnel(site, connection, held.get(connection.id))

    def restore_ends(self, connection: Connection) -> None:
        """Let both agents hold what the connection is now, the responder first. Raises DriverError."""
        for site in reversed(ends_of(connection)):
            self._restore_tunnel(site, connection, self._engine.tunnels.held(site).get(connection.id))

    def _restore_tunnel(self, site: str, connection: Connection, held: Mapping[str, Any] | None) -> None:
        engine = self._engine
        end = tunnel_end(engine.model.topology, connection, site)
        if (held is not None and _agrees(held, end)) or not self._is_wanted(connection):
            return
        if held is None:
            log.info("tunnel agent at %s: %s is missing: added", site, connection.id)
            engine.tunnels.add(site, end)
        elif held.get("mode") == end["mode"] and _agrees(held, end, except_for=MODIFIABLE):
            log.info("tunnel agent at %s: %s has other keys than it shall: modified", site, connection.id)
            engine.tunnels.modify(site, end)
        else:
            log.info("tunnel agent at %s: %s is not as it shall be: replaced", site, connection.id)
            engine.tunnels.remove(site, connection.id)
            engine.tunnels.add(site, end)
        if not self._is_wanted(connection):  # deleted while the agent was being told
            engine.tunnels.remove(site, connection.id)

    def _is_wanted(self, connection: Connection) -> bool:
        with self._engine.lock:
            present = self._engine.model.connections.get(connection.id)
            return (
                present is not None
                and present.number == connection.number
                and present.request == connection.request
                and present.state is not ConnectionState.REMOVING
            )

    def reconcile(self, site: str, installed: Iterable[Item]) -> bool:
        """Repair a switch by difference; True when it was right already. What is right is not touched."""
        engine = self._engine
        with engine.lock:
            difference = engine.model.intended.difference(site, installed)
            if difference.is_empty:
                return True
            counts = (len(difference.missing), len(difference.excess), len(difference.misconfigured))
            log.info("switch %s: %d missing, %d excess, %d misconfigured: repaired", site, *counts)
            pending = engine.switches.send({site: difference.repair()})
        log_faults("repair", pending.wait(BARRIER_DEADLINE_S))
        return False


def _agrees(held: Mapping[str, Any], end: Mapping[str, Any], except_for: tuple[str, ...] = ()) -> bool:
    """Whether an agent was told what it shall be told; what it adds by itself does not count."""
    return all(name in except_for or held.get(name) == value for name, value in end.items())
