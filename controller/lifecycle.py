"""Slices from request to removal: decisions of the model carried out on switches, tunnels and the journal.

The lock guards the model, and covers deciding and sending; nobody waits for a switch, a tunnel or the KMS while
holding it. So decisions come one at a time, their messages reach each switch in the order of the decisions, and
several slices can be on their way at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from controller import healing
from controller.drivers import DriverError, Journal, KeyRates, SectionStatus, Switches, SwitchFault, Tunnels
from controller.events import EventLog
from controller.explain import Infeasible
from controller.flows import Item, connection_number
from controller.intended import join
from controller.model import ConnectionState, ControllerError, SliceRequest, SliceState
from controller.orchestrator import Orchestrator, SliceBusy
from controller.parallel import Call, Parallel, Stopwatch
from controller.placement import SlicePlan
from controller.protection import copies_for
from controller.records import Connection, SliceRecord

log = logging.getLogger(__name__)

BARRIER_DEADLINE_S = 5.0
TUNNEL_DEADLINE_S = 10.0
MAX_REROUTE_ATTEMPTS = 3
# A key that cannot be replaced (the source is dry) serves for twenty rekeying times, and for a minute at least.
KEY_LIFETIME_REKEYS = 20
MIN_KEY_LIFETIME_S = 60.0
MAX_KEY_LIFETIME_S = 86_400.0  # what an agent accepts


class InfeasibleRequest(ControllerError):
    """The slice does not fit; carries the explanation."""

    def __init__(self, name: str, infeasible: Infeasible) -> None:
        super().__init__(f"slice {name}: {healing.explain_briefly(infeasible)}")
        self.infeasible = infeasible


class ProvisioningFailed(ControllerError):
    """A switch or a tunnel refused or did not answer; everything was rolled back."""


class Lifecycle:
    """Creates, deletes, heals and recovers slices."""

    def __init__(
        self,
        model: Orchestrator,
        switches: Switches,
        tunnels: Tunnels,
        key_rates: KeyRates,
        journal: Journal,
        events: EventLog,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.lock = threading.RLock()
        self.events = events
        self.sections: dict[str, SectionStatus] = {}
        self._silent_agents: set[str] = set()
        self._switches = switches
        self._tunnels = tunnels
        self._key_rates = key_rates
        self._journal = journal
        self._clock = clock
        self._steady = steady

    # --- creating ------------------------------------------------------------------------------------------------

    def plan(self, request: SliceRequest) -> SlicePlan:
        """What a request would get, on fresh key rates. Raises InfeasibleRequest, DuplicateSlice."""
        self.refresh_keys()
        with self.lock:
            return self._plan(request)

    def create(self, request: SliceRequest) -> SliceRecord:
        """A slice that is ACTIVE when this returns.

        Raises InfeasibleRequest, DuplicateSlice, or ProvisioningFailed when everything has been rolled back.
        """
        received = self._steady()
        self.refresh_keys()
        with self.lock:
            plan = self._plan(request)
            record = self.model.reserve(plan, self._clock())
            try:
                self._install(record, SliceState.PROVISIONING)
            except DriverError:
                self.model.forget(request.name)
                raise
        stopwatch = Stopwatch(self._steady, received)
        stopwatch.lap("reserved")
        try:
            self._provision(record, stopwatch)
        except ControllerError as error:
            log.warning("slice %s: rolled back: %s", request.name, error)
            self._remove(request.name, SliceState.FAILED)
            raise ProvisioningFailed(f"slice {request.name}: {error}; rolled back") from error
        with self.lock:
            self.model.add_timings(request.name, stopwatch.laps_ms)
            for connection in self.model.connections_of(request.name):
                if connection.state is ConnectionState.INSTALLING:
                    self.model.set_state(connection.id, ConnectionState.ACTIVE)
            return self._judge(request.name)

    def _plan(self, request: SliceRequest) -> SlicePlan:
        plan = self.model.plan(request)
        if isinstance(plan, Infeasible):
            raise InfeasibleRequest(request.name, plan)
        return plan

    def _install(self, record: SliceRecord, state: SliceState) -> None:
        record = self.model.set_slice_state(record.name, state)
        for connection in self.model.connections_of(record.name):
            self.model.set_state(connection.id, ConnectionState.INSTALLING)
        self._save(record.name)
        self._announce(record)

    def _provision(self, record: SliceRecord, stopwatch: Stopwatch) -> None:
        with self.lock:
            connections = self.model.connections_of(record.name)
            pending = self._switches.send(self.model.prepare(record.connection_ids))
        calls = [call for c in connections for call in self._tunnel_calls(c)]
        tunnels = Parallel(calls)
        _raise_faults(pending.wait(BARRIER_DEADLINE_S))
        stopwatch.lap("transit")
        with self.lock:
            # What healing has moved meanwhile it also enters by itself.
            ids = [c.id for c in self.model.connections_of(record.name) if c.state is ConnectionState.INSTALLING]
            pending = self._switches.send(self.model.enter(ids))
        _raise_faults(pending.wait(BARRIER_DEADLINE_S))
        stopwatch.lap("barriers")
        tunnels.join(TUNNEL_DEADLINE_S)
        stopwatch.lap("tunnels")
        Parallel(
            [Call(self._tunnels.wait_up, site, c.id, TUNNEL_DEADLINE_S) for c in connections for site in _ends(c)]
        ).join(TUNNEL_DEADLINE_S + 1.0)
        stopwatch.lap("active")

    # --- deleting ------------------------------------------------------------------------------------------------

    def delete(self, name: str) -> SliceRecord:
        """Remove a slice. Switches that are away are put right when they come back."""
        started = self._steady()
        with self.lock:
            record = self.model.slice(name)
            if record.state not in (SliceState.ACTIVE, SliceState.DEGRADED):
                raise SliceBusy(f"slice {name} is {record.state.value}: it cannot be deleted now")
            self.model.set_slice_state(name, SliceState.DELETING)
            self._save(name)
            self._announce(self.model.slice(name))
        self._remove(name, SliceState.DELETED)
        return replace(
            record, state=SliceState.DELETED,
            timings_ms={**record.timings_ms, "deprovisioned": (self._steady() - started) * 1000},
        )  # fmt: skip

    def _remove(self, name: str, end: SliceState) -> None:
        """Take a slice off switches, hosts and journal, whatever stands of it; faults are logged, never fatal."""
        with self.lock:
            connections = self.model.connections_of(name)
            for connection in connections:
                self.model.set_state(connection.id, ConnectionState.REMOVING)
            pending = self._switches.send(self.model.shut(name))
        tunnels = Parallel([Call(self._tunnels.remove, site, c.id) for c in connections for site in _ends(c)])
        _log_faults(name, pending.wait(BARRIER_DEADLINE_S))
        with self.lock:
            pending = self._switches.send(self.model.clear(name))
        _log_faults(name, pending.wait(BARRIER_DEADLINE_S))
        try:
            tunnels.join(TUNNEL_DEADLINE_S)
        except DriverError as error:
            log.warning("slice %s: %s; the agent is put right when it answers again", name, error)
        with self.lock:
            try:
                self._journal.forget(name)
            except DriverError:
                log.exception("slice %s: not struck from the journal", name)
            record = self.model.slice(name)
            self.model.forget(name)
            self._announce(replace(record, state=end))

    # --- healing -------------------------------------------------------------------------------------------------

    def channels_changed(self, changes: dict[str, bool]) -> None:
        """Channels went down or came up: move what is hit, try again what waits."""
        with self.lock:
            news = [c for c, is_up in changes.items() if self.model.network.set_channel_up(c, is_up)]
            for channel in news:
                log.info("channel %s is %s", channel, "up" if changes[channel] else "down")
                self.events.publish("link", {"channel": channel, "state": "up" if changes[channel] else "down"})
        if not all(changes[c] for c in news):
            self.heal()
        if any(changes[c] for c in news):
            self.retry()

    def heal(self) -> None:
        """Reroute everything that is hit."""
        self._move(lambda: healing.heal(self.model, healing.hit(self.model)), attempt=1)

    def retry(self) -> None:
        """Something has come back: try again everything that waits."""
        self._move(lambda: healing.retry(self.model, healing.retriable(self.model)), attempt=1)

    def _move(self, decide: Callable[[], list[healing.Decision]], attempt: int) -> None:
        with self.lock:
            decisions = decide()
            if not decisions:
                return
            for decision in decisions:
                log.info("connection %s: %s %s", decision.id, decision.after.state.value, decision.after.reason or "")
            lost = [d.id for d in decisions if not d.is_reroute]
            moving = {d.id: d.after for d in decisions if d.is_reroute}
            # What is lost is taken off at once; new ways are laid beside the old ones.
            pending = self._switches.send(
                join(
                    [
                        self.model.settle([i for i in lost if not self.model.connections[i].lanes]),
                        self.model.prepare(moving),
                    ]
                )
            )
        refused = self._refused(pending.wait(BARRIER_DEADLINE_S), moving) if moving else {}
        with self.lock:
            ready = [i for i in self._unchanged(moving) if i not in refused]
            pending = self._switches.send(self.model.enter(ready))
            self._save_slices_of([*lost, *ready])
        refused |= self._refused(pending.wait(BARRIER_DEADLINE_S), {i: moving[i] for i in ready})
        with self.lock:
            done = [i for i in self._unchanged(moving) if i not in refused]
            for connection_id in done:
                self.model.set_state(connection_id, ConnectionState.ACTIVE, moving[connection_id].reason)
            pending = self._switches.send(self.model.settle(done))
            self._save_slices_of(done)
            for name in sorted({c.request.slice_name for c in (*moving.values(), *self._existing(lost))}):
                if name in self.model.slices:
                    self._judge(name)
            again = {i: sites for i, sites in refused.items() if i in self._unchanged(moving)}
        _log_faults("reroute", pending.wait(BARRIER_DEADLINE_S))
        if again:
            self._after_refusal(again, attempt)

    def _after_refusal(self, refused: dict[str, frozenset[str]], attempt: int) -> None:
        """Go round the switches that refused, while there is a way round and attempts are left; else give up."""
        with self.lock:
            connections = self._existing(refused)
        avoid = {c.id: refused[c.id] - set(_ends(c)) for c in connections}
        avoid = {i: sites for i, sites in avoid.items() if sites and attempt < MAX_REROUTE_ATTEMPTS}
        with self.lock:
            given_up = [c for c in self._existing(refused) if c.id not in avoid]
            for connection in given_up:
                reason = f"refused by switches: {', '.join(sorted(refused[connection.id]))}"
                self.model.drop_lanes(connection.id, connection.lanes)
                self.model.set_state(connection.id, ConnectionState.DEGRADED, reason)
                self._judge(connection.request.slice_name)
            self._switches.send(self.model.settle([c.id for c in given_up]))
        if avoid:
            self._move(lambda: healing.heal(self.model, [c.id for c in self._existing(avoid)], avoid), attempt + 1)

    def _refused(self, faults: tuple[SwitchFault, ...], moving: dict[str, Connection]) -> dict[str, frozenset[str]]:
        """Which of the connections on the move each fault concerns, with the sites at fault."""
        refused: dict[str, frozenset[str]] = {}
        for fault in faults:
            log.warning("switch %s: %s", fault.site, fault.message)
            number = None if fault.cookie is None else connection_number(fault.cookie)
            for connection in moving.values():
                if number is None:
                    is_concerned = any(fault.site in lane.route.sites for lane in connection.lanes)
                else:
                    is_concerned = connection.number == number
                if is_concerned:
                    refused[connection.id] = refused.get(connection.id, frozenset()) | {fault.site}
        return refused

    def _unchanged(self, moving: dict[str, Connection]) -> list[str]:
        """Those that nothing else (a delete, a second failure) has taken over since the decision."""
        return [i for i, c in moving.items() if self.model.connections.get(i) is c]

    def _existing(self, ids: Iterable[str]) -> list[Connection]:
        return [self.model.connections[i] for i in ids if i in self.model.connections]

    # --- recovering ----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Take over what the journal holds; call once, before any switch is heard."""
        with self.lock:
            self.model.restore(self._journal.load())
            for record in list(self.model.slices.values()):
                log.info("slice %s: %s, from the journal", record.name, record.state.value)

    def recover(self) -> None:
        """Finish what the last process left half done: undo creations, complete deletions, tell the tunnel agents."""
        with self.lock:
            records = list(self.model.slices.values())
        for record in records:
            if record.state in (SliceState.RESERVED, SliceState.PROVISIONING, SliceState.DELETING):
                log.info("slice %s was %s when the last process ended: removed", record.name, record.state.value)
                self._remove(record.name, SliceState.DELETED)
        self.restore_tunnels()

    def restore_tunnels(self) -> None:
        """Compare what the tunnel agents hold with what they shall: one that has restarted has forgotten everything."""
        for site in self.model.topology.site_names:
            try:
                self._restore_tunnels_at(site)
                self._silent_agents.discard(site)
            except DriverError as error:
                if site not in self._silent_agents:
                    log.warning("%s", error)
                self._silent_agents.add(site)

    def _restore_tunnels_at(self, site: str) -> None:
        # Asked before the model is read: what a slice being created has added by now, the model knows by then.
        known = set(self._tunnels.ids(site))
        with self.lock:
            here = [c for c in self.model.connections.values() if site in _ends(c)]
            wanted = [
                c for c in here if c.state is not ConnectionState.REMOVING and c.state is not ConnectionState.INSTALLING
            ]
        for orphan in sorted(known - {c.id for c in here}):
            log.info("tunnel agent at %s: %s is nobody's: removed", site, orphan)
            self._tunnels.remove(site, orphan)
        for connection in wanted:
            if connection.id in known or not self._is_wanted(connection):
                continue
            log.info("tunnel agent at %s: %s is missing: added", site, connection.id)
            self._tunnels.add(site, tunnel_end(self.model, connection, site))
            if not self._is_wanted(connection):  # deleted while the agent was being told
                self._tunnels.remove(site, connection.id)

    def _is_wanted(self, connection: Connection) -> bool:
        with self.lock:
            present = self.model.connections.get(connection.id)
            return (
                present is not None
                and present.number == connection.number
                and present.state is not ConnectionState.REMOVING
            )

    def reconcile(self, site: str, installed: Iterable[Item]) -> bool:
        """Repair a switch by difference; True when it was right already. What is right is not touched."""
        with self.lock:
            difference = self.model.intended.difference(site, installed)
            if difference.is_empty:
                return True
            counts = (len(difference.missing), len(difference.excess), len(difference.misconfigured))
            log.info("switch %s: %d missing, %d excess, %d misconfigured: repaired", site, *counts)
            pending = self._switches.send({site: difference.repair()})
        _log_faults("repair", pending.wait(BARRIER_DEADLINE_S))
        return False

    # --- keys ----------------------------------------------------------------------------------------------------

    def refresh_keys(self) -> None:
        """Ask the KMS for its rates; what it does not answer for counts as dry."""
        try:
            told = {s.id: s for s in self._key_rates.sections()}
        except DriverError as error:
            if any(s.is_usable for s in self.sections.values()):
                log.warning("key rates unknown: %s", error)
            told = {}
        with self.lock:
            for section in self.model.topology.sections:
                status = told.get(section.id, SectionStatus(section.id, 0, False, None))
                before = self.sections.get(section.id)
                self.model.network.set_section(section.id, status.rate_mbps, status.is_usable)
                self.sections[section.id] = status
                if before is None or before.is_usable is not status.is_usable:
                    state = "usable" if status.is_usable else "unusable"
                    self.events.publish("key", {"section": section.id, "state": state, "qber": status.qber})

    def switch_count(self) -> tuple[int, int]:
        """Switches that are connected and repaired, and those that there are."""
        sites = self.model.topology.site_names
        return sum(self._switches.is_ready(site) for site in sites), len(sites)

    # --- telling -------------------------------------------------------------------------------------------------

    def _judge(self, name: str) -> SliceRecord:
        before = self.model.slice(name).state
        record = self.model.judge(name)
        if record.state is not before:
            self._announce(record)
        self._save(name)
        return record

    def _announce(self, record: SliceRecord) -> None:
        self.events.publish("slice", {"name": record.name, "state": record.state.value})

    def _save(self, name: str) -> None:
        self._journal.save(self.model.slice(name), self.model.connections_of(name))

    def _save_slices_of(self, ids: Iterable[str]) -> None:
        """Journal what healing has done. A failure here costs a second reroute after a crash, not the first one."""
        for name in sorted({c.request.slice_name for c in self._existing(ids)}):
            try:
                self._save(name)
            except DriverError:
                log.exception("slice %s: reroute not journalled", name)

    def _tunnel_calls(self, connection: Connection) -> list[Call]:
        return [Call(self._tunnels.add, site, tunnel_end(self.model, connection, site)) for site in _ends(connection)]


def tunnel_end(model: Orchestrator, connection: Connection, site: str) -> dict[str, Any]:
    """What the agent at ``site`` is told about a connection."""
    request = connection.request
    is_source = site == request.src
    peer = request.dst if is_source else request.src
    addresses = (connection.src_address, connection.dst_address)
    local, remote = addresses if is_source else addresses[::-1]
    return {
        "id": connection.id,
        "role": "initiator" if is_source else "responder",
        "mode": "esp" if connection.is_encrypted else "clear",
        "interface": connection.tunnel_interface,
        "port": connection.tunnel_port,
        "peer_underlay": model.topology.host(peer).data_address,
        "local_address": local,
        "peer_address": remote,
        "peer_sae": f"sae-{peer}",
        "key_source": connection.key_source,
        "rekey_s": request.spec.rekey_s,
        **copies_for(connection),
        "lifetime_s": min(MAX_KEY_LIFETIME_S, max(MIN_KEY_LIFETIME_S, KEY_LIFETIME_REKEYS * request.spec.rekey_s)),
    }


def _ends(connection: Connection) -> tuple[str, str]:
    return connection.request.src, connection.request.dst


def _raise_faults(faults: tuple[SwitchFault, ...]) -> None:
    if faults:
        raise DriverError("; ".join(f"switch {f.site}: {f.message}" for f in faults))


def _log_faults(what: str, faults: tuple[SwitchFault, ...]) -> None:
    for fault in faults:
        log.warning("%s: switch %s: %s", what, fault.site, fault.message)
