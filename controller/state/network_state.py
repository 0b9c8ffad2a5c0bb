"""The controller's decisions about slices: what to reserve, what switches shall hold at each stage, what to give back.

One :class:`NetworkState` holds the whole model in memory. It does no I/O and never waits: each method is one
decision, and the caller sees to it that two never run at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.forwarding.continuity_test import TRIAL_OWNER, trial_rules
from controller.forwarding.intended import Changes, IntendedSet, join
from controller.forwarding.items import Item
from controller.forwarding.labels import LabelPool
from controller.forwarding.protection_groups import entry_items, has_detours, is_inner, lane_items
from controller.forwarding.rules import PortMap
from controller.model.connection import KEPT_REROUTES, MAX_CONNECTIONS, Connection, Reroute, SlowRekey, owner_of
from controller.model.connectivity import Finding, Verdict
from controller.model.dark_channel import Spare, SpareState, used_spares
from controller.model.errors import ConnectionsExhausted, ControllerError, DuplicateSlice, UnknownSlice
from controller.model.path import Lane, Route
from controller.model.reason import Reason
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.pce.computation import SlicePlan, plan_slice
from controller.pce.infeasibility import Infeasible
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network, OverCommitted
from controller.pce.route_query import relay_of
from controller.state.allocation import Retained, _preferred
from topologies.spec import SecurityClass, Topology


class NetworkState:
    """Slices, connections, reservations, labels and the intended rules."""

    mutation: str | None = None  # how it is wrong on purpose (controller.testing.mutants)

    def __init__(self, topology: Topology, forbidden_suites: frozenset[str] = frozenset()) -> None:
        self.topology = topology
        self.forbidden_suites = forbidden_suites
        self.network = Network(topology)
        self.ports = PortMap.of(topology)
        self.intended = IntendedSet(topology.site_names)
        self.slices: dict[str, SliceRecord] = {}
        self.connections: dict[str, Connection] = {}
        self.labels = LabelPool()
        self._numbers: set[int] = set()
        self.computing: set[str] = set()  # slices that hold compute
        # Lanes whose labels are held: the current ones and, during a reroute, those being left.
        self.held_lanes: dict[str, list[Lane]] = {}
        # Sections whose rate nobody knows now, as while the KMS is silent: no loss to those who live on them, and
        # nothing that anybody new may have. Who loses its way meanwhile is remembered with the relay it had.
        self.unknown_sections: frozenset[str] = frozenset()
        self._last_relays: dict[str, Route] = {}
        self.spares = {c.id: Spare() for c in topology.channels if c.dark}
        self.silent: frozenset[str] = frozenset()  # channels that are down by BFD alone: their carrier is there
        self.doubted: frozenset[str] = frozenset()  # channels to be avoided where there is a choice
        self.findings: Mapping[str, Finding] = {}  # what the tunnels' probes say, by connection
        self.conditions: Mapping[str, tuple[str, ...]] = {}  # what is to be known of a connection beside its state
        self.switches_away: dict[str, float] = {}  # sites whose switch is not there, since (steady clock, s)
        # What a modification holds beside what the slice has now, until it is finished or undone.
        self.retained: dict[str, Retained] = {}

    # --- finding -------------------------------------------------------------------------------------------------

    def slice(self, name: str) -> SliceRecord:
        try:
            return self.slices[name]
        except KeyError:
            raise UnknownSlice(f"there is no slice {name!r}") from None

    def connections_of(self, name: str) -> tuple[Connection, ...]:
        return tuple(self.connections[i] for i in self.slice(name).connection_ids if i in self.connections)

    def everything_of(self, name: str) -> tuple[Connection, ...]:
        """As :meth:`connections_of`, and what is about to leave."""
        retained = self.retained.get(name)
        leaving = () if retained is None else retained.leaving
        return self.connections_of(name) + tuple(self.connections[i] for i in leaving if i in self.connections)

    # --- creating ------------------------------------------------------------------------------------------------

    def plan(self, request: SliceRequest) -> SlicePlan | Infeasible:
        """What the slice would get; nothing is reserved."""
        if request.name in self.slices:
            raise DuplicateSlice(f"there is a slice {request.name!r} already")
        return plan_slice(self.network, request)

    def reserve(self, plan: SlicePlan, now: float) -> SliceRecord:
        """Reserve bandwidth, key rate, compute, labels and addresses of a plan: all or nothing."""
        name = plan.request.name
        if name in self.slices:
            raise DuplicateSlice(f"there is a slice {name!r} already")
        ids = tuple(planned.request.id for planned in plan.connections)
        record = SliceRecord(plan.request, plan.compute_site, ids, created_at=now)
        self.slices[name] = record
        try:
            compute = plan.request.compute
            self.network.reserve_compute(name, plan.compute_site, compute.vcpus, compute.memory_gb)
            self.computing.add(name)
            for planned in plan.connections:
                connection = Connection(planned.request, self.take_number(), (), 0)
                self.connections[connection.id] = connection
                for route in planned.routes:
                    self.add_lane(connection.id, route)
        except ControllerError:
            self.forget(name)
            raise
        return record

    def add_lane(self, connection_id: str, route: Route) -> Connection:
        """Reserve a further lane for a connection: all or nothing."""
        connection = self.connections[connection_id]
        generation = connection.generation + 1
        lane = self.labels.allocate(route, generation, with_detours=has_detours(connection))
        try:
            # Both lanes of a protected connection carry the same keys: the key is paid for once.
            key_rate = 0 if connection.lanes else connection.in_force.key_rate_millibps
            owner = owner_of(connection, lane)
            is_kept = self._has_unknown_keys(route)  # nobody finds such a relay anew: see kept_relay
            self.network.reserve(owner, route, connection.request.spec.bandwidth_kbps, key_rate, is_kept=is_kept)
        except ControllerError:
            self.labels.release(lane)
            raise
        self.held_lanes.setdefault(connection_id, []).append(lane)
        grown = replace(connection, lanes=(*connection.lanes, lane), generation=generation)
        self.connections[connection_id] = grown
        return grown

    def drop_lanes(self, connection_id: str, lanes: Iterable[Lane]) -> Connection:
        """Give back the bandwidth and key rate of lanes; their labels stay held until :meth:`remove_old`."""
        connection = self.connections[connection_id]
        dropped = tuple(lanes)
        for lane in dropped:
            self.network.release(owner_of(connection, lane))
        left = tuple(lane for lane in connection.lanes if lane not in dropped)
        if left and left[0] is not connection.lanes[0]:
            left = (self._take_over_keys(connection, left[0]), *left[1:])
        if connection.lanes and not left and self._has_unknown_keys(connection.lanes[0].route):
            self._last_relays[connection_id] = connection.lanes[0].route
        shrunk = replace(connection, lanes=left, preferred=_preferred(connection, left))
        if not left:
            shrunk = replace(shrunk, fallback=None)  # what comes next is asked for at the full level first
        self.connections[connection_id] = shrunk
        return shrunk

    def swap_lanes(self, connection_id: str, routes: Iterable[Route], fallback: SecurityClass | None) -> Connection:
        """Give a connection other lanes, at the level asked for or a fallback: all or nothing.

        What it holds counts as free. The labels of the lanes that are left stay held until :meth:`remove_old`.
        """
        old = self.connections[connection_id]
        # A lower level has keys of its own, to be renewed as asked.
        drawn = replace(old, fallback=fallback, slow_rekey=old.slow_rekey if fallback is None else None)
        self._last_relays.pop(connection_id, None)
        fresh: list[Lane] = []
        reserved: list[str] = []
        for lane in old.lanes:
            self.network.release(owner_of(old, lane))
        try:
            for position, route in enumerate(routes):
                generation = old.generation + 1 + position
                lane = self.labels.allocate(route, generation, with_detours=has_detours(old))
                fresh.append(lane)
                key_rate = 0 if position else drawn.in_force.key_rate_millibps
                self.network.reserve(owner_of(old, lane), route, old.request.spec.bandwidth_kbps, key_rate)
                reserved.append(owner_of(old, lane))
        except ControllerError:
            for owner in reserved:
                self.network.release(owner)
            for lane in fresh:
                self.labels.release(lane)
            self._reserve_again(old)
            raise
        self.held_lanes.setdefault(connection_id, []).extend(fresh)
        lanes = tuple(fresh)
        swapped = replace(drawn, lanes=lanes, generation=old.generation + len(lanes), preferred=_preferred(old, lanes))
        self.connections[connection_id] = swapped
        return swapped

    def _reserve_again(self, connection: Connection) -> None:
        """Take back what has just been released, whatever the key rates are by now."""
        spec = connection.in_force
        for position, lane in enumerate(connection.lanes):
            key_rate = 0 if position else spec.key_rate_millibps
            owner = owner_of(connection, lane)
            self.network.reserve(owner, lane.route, spec.bandwidth_kbps, key_rate, is_kept=True)

    def undo_release(self, before: Connection) -> Connection:
        """Undo :meth:`drop_lanes` before anything else was decided: the lanes that ``before`` had are its own again."""
        for lane in self.connections[before.id].lanes:
            self.network.release(owner_of(before, lane))
        self._reserve_again(before)
        self.connections[before.id] = before
        return before

    def is_passing(self, connection_id: str) -> bool:
        """Whether its probes pass: proof that its ways carry packets, whatever else is said of them."""
        finding = self.findings.get(connection_id)
        return finding is not None and finding.verdict is Verdict.PASSES

    def is_denied(self, connection_id: str) -> bool:
        """Whether there is evidence that it carries nothing."""
        finding = self.findings.get(connection_id)
        return finding is not None and finding.is_denied

    # --- keys ----------------------------------------------------------------------------------------------------

    def set_unknown_sections(self, sections: Iterable[str]) -> None:
        """The sections of whose rate nobody has told."""
        self.unknown_sections = frozenset(sections)
        if not self.unknown_sections:
            self._last_relays.clear()

    def kept_relay(self, connection_id: str) -> FoundRelay | None:
        """The relay to keep for a connection that moves, or that lost its way, while rates on it are unknown.

        None when there is none, and the keys' way is to be looked for.
        """
        route = self.connections[connection_id].route or self._last_relays.get(connection_id)
        if route is None or not self._has_unknown_keys(route):
            return None
        sections = [section for section, _ in route.key_sections]
        if not all(s in self.unknown_sections or self.network.is_section_usable(s) for s in sections):
            return None
        return relay_of(self.network, route)

    def _has_unknown_keys(self, route: Route) -> bool:
        return any(section in self.unknown_sections for section, _ in route.key_sections)

    def _take_over_keys(self, connection: Connection, lane: Lane) -> Lane:
        """A backup that becomes the working lane has the relay that the working lane had, and pays for it."""
        was = connection.lanes[0].route
        owner, spec = owner_of(connection, lane), connection.in_force
        moved = replace(lane, route=replace(lane.route, key_links=was.key_links, key_sections=was.key_sections))
        self.network.release(owner)
        self.network.reserve(owner, moved.route, spec.bandwidth_kbps, spec.key_rate_millibps, is_kept=True)
        self._hold_instead(connection.id, moved)
        return moved

    def set_relay(
        self, connection_id: str, relay: FoundRelay, key_rate_millibps: int, *, is_kept: bool = False
    ) -> Connection:
        """Have the working lane's keys come over another relay, at that rate; an empty one: from nowhere.

        Raises OverCommitted, with the lane then left without keys; not where it had just that (``is_kept``).
        """
        connection = self.connections[connection_id]
        lane, spec = connection.lanes[0], connection.request.spec
        sections = tuple((self.network.index.section_ids[s], times) for s, times in relay.crossings)
        moved = replace(lane, route=replace(lane.route, key_links=relay.links, key_sections=sections))
        owner = owner_of(connection, lane)
        self.network.release(owner)
        try:
            self.network.reserve(owner, moved.route, spec.bandwidth_kbps, key_rate_millibps, is_kept=is_kept)
        except OverCommitted:
            self.network.reserve(owner, moved.route, spec.bandwidth_kbps, 0)
            raise
        self._hold_instead(connection_id, moved)
        self.connections[connection_id] = replace(connection, lanes=(moved, *connection.lanes[1:]))
        return self.connections[connection_id]

    def _hold_instead(self, connection_id: str, lane: Lane) -> None:
        """The same lane with another key relay."""
        held = self.held_lanes.get(connection_id, [])
        self.held_lanes[connection_id] = [lane if x.generation == lane.generation else x for x in held]

    # --- what is observed ----------------------------------------------------------------------------------------

    def observe_channels(self, changes: Mapping[str, bool], silent: Iterable[str]) -> list[str]:
        """Record which channels are up and which are down by BFD alone; those of ``changes`` that are news."""
        self.silent = frozenset(silent)
        return [channel for channel, is_up in changes.items() if self.network.set_channel_up(channel, is_up)]

    def observe_section(self, section_id: str, rate_millibps: int, *, is_usable: bool) -> None:
        """Record what key rate (millibit/s) the KMS tells of a QKD section."""
        self.network.set_section(section_id, rate_millibps, is_usable)

    def observe_findings(self, findings: Mapping[str, Finding]) -> None:
        """Record what the tunnels' probes say, by connection."""
        self.findings = findings

    def observe_switches(self, ready: Iterable[str], now: float) -> None:
        """Record the sites whose switch is there; the others are away since ``now`` (steady clock, s) or longer."""
        present = frozenset(ready)
        away = [site for site in self.topology.site_names if site not in present]
        self.switches_away = {site: self.switches_away.get(site, now) for site in away}

    def doubt_channels(self, channels: Iterable[str]) -> None:
        """Avoid exactly these channels where there is a choice."""
        self.doubted = frozenset(channels)

    def note_conditions(self, conditions: Mapping[str, tuple[str, ...]]) -> None:
        """Keep what is to be known of each connection beside its state."""
        self.conditions = conditions

    # --- states --------------------------------------------------------------------------------------------------

    def note_reason(self, connection_id: str, reason: Reason | None) -> Connection:
        """Say why the connection is not what was asked for; its state stays."""
        return self._keep(replace(self.connections[connection_id], reason=reason))

    def keep_fallback(self, connection_id: str, level: SecurityClass | None) -> Connection:
        """Have the connection on this lower level; None: on the one asked for."""
        return self._keep(replace(self.connections[connection_id], fallback=level))

    def slow_down(self, connection_id: str, pace: SlowRekey) -> Connection:
        """Renew the connection's keys less often than asked for."""
        return self._keep(replace(self.connections[connection_id], slow_rekey=pace))

    def restore_pace(self, connection_id: str) -> Connection:
        """Renew the connection's keys as often as asked for."""
        return self._keep(replace(self.connections[connection_id], slow_rekey=None))

    def record_reroute(self, connection_id: str, reroute: Reroute) -> Connection:
        """Add to the connection's reroutes, and forget the oldest of too many."""
        connection = self.connections[connection_id]
        return self._keep(replace(connection, reroutes=(*connection.reroutes, reroute)[-KEPT_REROUTES:]))

    def _keep(self, connection: Connection) -> Connection:
        self.connections[connection.id] = connection
        return connection

    def schedule(self, record: SliceRecord) -> None:
        """Keep a slice whose start is to come; it holds nothing."""
        self.slices[record.name] = record

    def unschedule(self, name: str) -> None:
        """Forget a slice that holds nothing: it is about to be made."""
        del self.slices[name]

    def keep_failed(self, record: SliceRecord) -> None:
        """Keep a slice that could not be made at its start, for its reason; it holds nothing."""
        self.slices[record.name] = record

    def hold_reservation(self, name: str, reservation: str, expires_at: float) -> SliceRecord:
        """Keep a RESERVED slice for whoever commits it by this id, until ``expires_at`` (seconds since the epoch)."""
        self.slices[name] = replace(self.slice(name), reservation=reservation, expires_at=expires_at)
        return self.slices[name]

    def begin_provisioning(self, name: str) -> SliceRecord:
        """A RESERVED slice is being made: its reservation cannot expire any more."""
        self.slices[name] = self.slice(name).become(SliceState.PROVISIONING, reservation=None, expires_at=None)
        return self.slices[name]

    def put_back(self, record: SliceRecord, connections: Iterable[Connection]) -> None:
        """Undo changes that the journal would not have: as the slice was, of which nothing else has been changed."""
        self.slices[record.name] = record
        self.connections.update({c.id: c for c in connections})

    # --- changing ------------------------------------------------------------------------------------------------

    def take_labels(self, connection: Connection, route: Route, generation: int) -> Lane:
        """A further lane for a connection that is being drafted; to be adopted or given back."""
        return self.labels.allocate(route, generation, with_detours=has_detours(connection))

    def give_back_labels(self, lane: Lane) -> None:
        self.labels.release(lane)

    def adopt_form(
        self, record: SliceRecord, moved: Iterable[Connection], retained: Retained, network: Network
    ) -> None:
        """Let a slice have another form, at once: its reservations (``network``), connections, labels and what it
        holds of its last form beside that."""
        self.network = network
        for connection in moved:
            self.connections[connection.id] = connection
            held = {lane.generation: lane for lane in (*self.held_lanes.get(connection.id, ()), *connection.lanes)}
            self.held_lanes[connection.id] = list(held.values())
        self.retained[record.name] = retained
        self.slices[record.name] = record

    def release_old_lanes(self, name: str) -> None:
        """The labels of a slice's last form may go (see :meth:`remove_old`); what it reserved stays reserved."""
        self.retained[name] = replace(self.retained[name], lanes={})

    def set_state(self, connection_id: str, state: ConnectionState, reason: Reason | None = None) -> Connection:
        connection = self.connections[connection_id].become(state, reason=reason)
        self.connections[connection_id] = connection
        return connection

    def set_slice_state(self, name: str, state: SliceState) -> SliceRecord:
        self.slices[name] = self.slice(name).become(state)
        return self.slices[name]

    def add_timings(self, name: str, timings_ms: Mapping[str, float]) -> SliceRecord:
        record = self.slice(name)
        self.slices[name] = replace(record, timings_ms={**record.timings_ms, **timings_ms})
        return self.slices[name]

    def refresh_state(self, name: str) -> SliceRecord:
        """Set a slice that is or was about to be ACTIVE or DEGRADED to what its connections amount to.

        One being provisioned or modified is left alone until that ends (see :meth:`settled`).
        """
        record = self.slice(name)
        return self.settled(name) if record.state in (SliceState.ACTIVE, SliceState.DEGRADED) else record

    def settled(self, name: str) -> SliceRecord:
        """The end of a creation or modification: ACTIVE, or DEGRADED when a failure came in between."""
        record = self.slice(name)
        is_whole = all(c.state is not ConnectionState.DEGRADED for c in self.connections_of(name))
        wanted = SliceState.ACTIVE if is_whole else SliceState.DEGRADED
        return record if record.state is wanted else self.set_slice_state(name, wanted)

    # --- what the switches shall hold, stage by stage ------------------------------------------------------------

    def install_transit(self, connection_ids: Iterable[str]) -> dict[str, Changes]:
        """Stage 1: transit and egress of the current lanes beside whatever the connections hold already."""
        return join(
            self.intended.assign(i, [*self.intended.of(i), *self._lane_rules(self.connections[i])])
            for i in connection_ids
        )

    def switch_ingress(self, connection_ids: Iterable[str]) -> dict[str, Changes]:
        """Stage 2: the ingress sends into the current lane. Rules of lanes that were left still stand."""
        parts = []
        for i in connection_ids:
            entry = entry_items(self.ports, self.connections[i])
            keys = {item.key for item in entry}
            kept = [item for item in self.intended.of(i) if (item.key not in keys or item in entry)]
            parts.append(self.intended.assign(i, [*kept, *entry]))
        return join(parts)

    def remove_old(self, connection_ids: Iterable[str]) -> dict[str, Changes]:
        """Stage 3: nothing but the current lanes and their entry; labels of lanes that were left become free."""
        parts = []
        for i in connection_ids:
            connection = self.connections[i]
            items: list[Item] = [*self._lane_rules(connection), *entry_items(self.ports, connection)]
            parts.append(self.intended.assign(i, items))
            retained = self.retained.get(connection.request.slice_name)
            kept = connection.lanes + (() if retained is None else retained.lanes.get(i, ()))
            labels = {lane.generation for lane in kept}
            for lane in self.held_lanes.get(i, []):
                if lane.generation not in labels:
                    self.labels.release(lane)
            self.held_lanes[i] = list({lane.generation: lane for lane in kept}.values())
        return join(parts)

    def withdraw_ingress(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """First stage of removal: nothing enters any more."""
        return join(
            self.intended.assign(c.id, [item for item in self.intended.of(c.id) if is_inner(item)]) for c in connections
        )

    def install_trial(self, channels: Iterable[str]) -> dict[str, Changes]:
        """While these channels are tried: both ends hand over what arrives on them of the trial's kind."""
        return self.intended.assign(TRIAL_OWNER, trial_rules(self.topology, self.ports, channels))

    def withdraw_trial(self) -> dict[str, Changes]:
        return self.intended.assign(TRIAL_OWNER, ())

    def withdraw_all(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """Second stage of removal: nothing is left."""
        return join(self.intended.assign(c.id, ()) for c in connections)

    # --- removing, restoring -------------------------------------------------------------------------------------

    def forget(self, name: str) -> None:
        """Give back everything a slice holds. Its rules must have been withdrawn (see :meth:`withdraw_all`)."""
        self.forget_connections(c.id for c in self.everything_of(name))
        self.release_retained(name)
        del self.slices[name]
        if name in self.computing:
            self.computing.remove(name)
            self.network.release_compute(name)

    def forget_connections(self, ids: Iterable[str]) -> None:
        """Give back what connections hold: bandwidth, key rate, labels, addresses."""
        for connection_id in list(ids):
            connection = self.connections.pop(connection_id)
            self._last_relays.pop(connection_id, None)
            for lane in connection.lanes:
                owner = owner_of(connection, lane)
                if self.network.is_reserved(owner):  # one that is leaving has its share in what the slice retains
                    self.network.release(owner)
            for lane in self.held_lanes.pop(connection_id, []):
                self.labels.release(lane)
            self.give_back_number(connection.number)

    def release_retained(self, name: str) -> None:
        """Give back what a modification kept of the old form; nothing where none is under way."""
        retained = self.retained.pop(name, None)
        if retained is None:
            return
        for owner in retained.owners:
            self.network.release(owner)
        if retained.compute_owner is not None:
            self.network.release_compute(retained.compute_owner)

    def restore(self, kept: Iterable[tuple[SliceRecord, Iterable[Connection]]]) -> None:
        """Take over the slices read back from the journal, with the labels and addresses they had.

        What was reserved stays reserved whatever the key rates are now; they count as unknown until told anew.
        """
        for section in self.topology.sections:
            self.network.set_section(section.id, 0, usable=False)
        self.set_unknown_sections(s.id for s in self.topology.sections)
        for record, connections in kept:
            self._adopt(record, connections)
        for channel in used_spares(self.connections.values(), self.spares):
            self.set_spare(channel, Spare(SpareState.LIT))

    def set_spare(self, channel_id: str, spare: Spare) -> None:
        """Record what has become of a spare; the graph may use it while it is lit."""
        self.spares[channel_id] = spare
        self.network.set_dark(channel_id, spare.state is not SpareState.LIT)

    def _adopt(self, record: SliceRecord, connections: Iterable[Connection]) -> None:
        compute = record.request.compute
        self.slices[record.name] = record
        if record.compute_site is not None:
            self.network.reserve_compute(record.name, record.compute_site, compute.vcpus, compute.memory_gb)
            self.computing.add(record.name)
        for saved in connections:
            connection = saved
            if saved.state is ConnectionState.REROUTING:
                state = ConnectionState.ACTIVE if saved.lanes else ConnectionState.DEGRADED
                connection = saved.become(state, reason=saved.reason)
            self._numbers.add(connection.number)
            self.connections[connection.id] = connection
            self.held_lanes[connection.id] = list(connection.lanes)
            spec = connection.in_force
            for position, lane in enumerate(connection.lanes):
                self.labels.claim(lane)
                key_rate = 0 if position else spec.key_rate_millibps
                owner = owner_of(connection, lane)
                self.network.reserve(owner, lane.route, spec.bandwidth_kbps, key_rate, is_kept=True)
            if connection.state is not ConnectionState.PENDING:
                self.remove_old([connection.id])

    def _lane_rules(self, connection: Connection) -> list[Item]:
        return [rule for lane in connection.lanes for rule in lane_items(self.ports, connection, lane)]

    def take_number(self) -> int:
        for number in range(MAX_CONNECTIONS):
            if number not in self._numbers:
                self._numbers.add(number)
                return number
        raise ConnectionsExhausted(f"all {MAX_CONNECTIONS} connection addresses are taken")

    def give_back_number(self, number: int) -> None:
        self._numbers.discard(number)
