"""The controller's state: what slices hold, what switches shall hold at each stage, what is seen of the network.

One :class:`NetworkState` holds the whole model in memory. It does no I/O and never waits: each method is one
decision, and the caller sees to it that two never run at once. It keeps nothing itself: five parts do, each in a module
of its own, and each method here says in which order they act. What must not touch the model is tried on a :meth:`fork`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Self

from controller.forwarding.intended import Changes, Difference
from controller.model.connection import Connection, connection_in_mode
from controller.model.dark_channel import Spare, SpareState, used_spares
from controller.model.errors import ControllerError, DuplicateSlice
from controller.model.path import Lane, Route
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState
from controller.pce.computation import (
    ExactPlanner,
    ExactRoutes,
    RouteFinder,
    SlicePlan,
    SlicePlanner,
    UnknownKeyRates,
    plan_slice,
)
from controller.pce.infeasibility import Infeasible
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network
from controller.state.allocations import Retained
from controller.state.recording import StateRecording
from controller.state.slice_registry import drawn_at
from topologies.spec import SecurityClass


class NetworkState(StateRecording):
    """Slices, connections, reservations, labels and the intended rules."""

    mutation: str | None = None  # how it is wrong on purpose (controller.testing.mutants)
    planner: SlicePlanner = ExactPlanner()  # who plans slices; no lock is held where it is another
    route_finder: RouteFinder = ExactRoutes()  # who finds other paths for connections that move

    def plan_by(self, planner: SlicePlanner) -> None:
        """Have slices planned by another."""
        self.planner = planner

    def find_routes_by(self, finder: RouteFinder) -> None:
        """Have other paths found by another."""
        self.route_finder = finder

    def fork(self) -> Self:
        """An independent copy, for dry runs: containers are copied, the values in them never change and are shared."""
        twin = copy.copy(self)
        twin._network = self._network.copy()
        twin._registry = self._registry.fork()
        twin._quarantine = self._quarantine.copy()
        twin._allocations = self._allocations.fork(twin._network, twin._quarantine)
        twin._keys = self._keys.fork(twin._network)
        twin._card_keys = self._card_keys.fork()
        twin._stages = self._stages.fork(twin._quarantine)
        twin._observations = self._observations.fork(twin._network)
        return twin

    # --- creating ------------------------------------------------------------------------------------------------

    def plan(self, request: SliceRequest) -> SlicePlan | UnknownKeyRates | Infeasible:
        """What the slice would get; nothing is reserved."""
        if request.name in self.slices:
            raise DuplicateSlice(f"there is a slice {request.name!r} already")
        return self.planner.plan_slice(self.network, request)

    def needed_switches_away(self, request: SliceRequest) -> tuple[str, ...]:
        """The sites whose switches are away, if the slice would fit were they there; call when it does not fit."""
        if not self.switches_away:
            return ()
        network = self.network.copy()
        for site in self.switches_away:
            network.set_open(site, True)
        plan = plan_slice(network, request)
        if isinstance(plan, Infeasible):
            return ()
        if isinstance(plan, UnknownKeyRates):
            plan = plan.plan
        crossed = {site for planned in plan.connections for route in planned.routes for site in route.sites}
        return tuple(sorted(crossed & self.switches_away.keys()))

    def reserve(self, plan: SlicePlan, now: float) -> SliceRecord:
        """Reserve bandwidth, key rate, compute, labels and addresses of a plan: all or nothing."""
        record = self._registry.add(plan, now)
        try:
            self._allocations.reserve_compute(record)
            for planned in plan.connections:
                connection = self._registry.add_connection(planned.request)
                for route in planned.routes:
                    self.add_lane(connection.id, route)
        except ControllerError:
            self.forget(record.name)
            raise
        return record

    # --- lanes ---------------------------------------------------------------------------------------------------

    def add_lane(self, connection_id: str, route: Route) -> Connection:
        """Reserve a further lane for a connection: all or nothing."""
        is_kept = self._keys.has_unknown_keys(route)  # nobody finds such a relay anew: see kept_relay
        lane = self._allocations.add_lane(self.connections[connection_id], route, is_kept=is_kept)
        return self._registry.add_lane(connection_id, lane)

    def drop_lanes(self, connection_id: str, lanes: Iterable[Lane]) -> Connection:
        """Give back the bandwidth and key rate of lanes; their labels stay held until :meth:`remove_old`."""
        connection, dropped = self.connections[connection_id], tuple(lanes)
        self._allocations.drop_lanes(connection, dropped)
        left = tuple(lane for lane in connection.lanes if lane not in dropped)
        if left and left[0] is not connection.lanes[0]:
            working = self._keys.take_over(connection, left[0])
            self._allocations.hold_instead(connection_id, working)
            left = (working, *left[1:])
        if not left:
            self._keys.remember_relay(connection)
        return self._registry.leave_lanes(connection_id, left)

    def swap_lanes(self, connection_id: str, routes: Iterable[Route], fallback: SecurityClass | None) -> Connection:
        """Give a connection other lanes, at the level asked for or a fallback: all or nothing.

        What it holds counts as free. The labels of the lanes that are left stay held until :meth:`remove_old`.
        """
        old = self.connections[connection_id]
        drawn = drawn_at(old, fallback)
        self._keys.forget_relay(connection_id)
        return self._registry.swap_lanes(drawn, self._allocations.swap_lanes(old, drawn, routes))

    def undo_release(self, before: Connection) -> Connection:
        """Undo :meth:`drop_lanes` before anything else was decided: the lanes that ``before`` had are its own again."""
        self._allocations.undo_release(self.connections[before.id], before)
        return self._registry.undo_release(before)

    def set_relay(
        self, connection_id: str, relay: FoundRelay, key_rate_millibps: int, *, is_kept: bool = False
    ) -> Connection:
        """Have the working lane's keys come over another relay, at that rate; an empty one: from nowhere.

        Raises OverCommitted, with the lane then left without keys; not where it had just that (``is_kept``).
        """
        moved = self._keys.move_keys(self.connections[connection_id], relay, key_rate_millibps, is_kept=is_kept)
        self._allocations.hold_instead(connection_id, moved)
        return self._registry.move_keys(connection_id, moved)

    # --- changing ------------------------------------------------------------------------------------------------

    def adopt_form(
        self, record: SliceRecord, moved: Iterable[Connection], retained: Retained, network: Network
    ) -> None:
        """Let a slice have another form, at once: its reservations (``network``), connections, labels and what it
        holds of its last form beside that."""
        connections = tuple(moved)
        self._allocations.adopt_form(record.name, connections, retained, network)
        self._registry.adopt_form(record, connections)

    # --- what the switches shall hold, stage by stage ------------------------------------------------------------

    def install_transit(self, connection_ids: Iterable[str]) -> dict[str, Changes]:
        """Stage 1: transit and egress of the current lanes beside whatever the connections hold already."""
        return self._stages.install_transit(self.connections[i] for i in connection_ids)

    def switch_ingress(self, connection_ids: Iterable[str]) -> dict[str, Changes]:
        """Stage 2: the ingress sends into the current lane. Rules of lanes that were left still stand."""
        return self._stages.switch_ingress(self.connections[i] for i in connection_ids)

    def remove_old(self, connection_ids: Iterable[str]) -> dict[str, Changes]:
        """Stage 3: nothing but the current lanes and their entry; labels of lanes that were left become free."""
        connections = [self.connections[i] for i in connection_ids]
        for connection in connections:
            self._allocations.release_left_labels(connection)
        return self._stages.remove_old(connections)

    def install_at(self, connection: Connection, site: str) -> dict[str, Changes]:
        """All of a connection at one site: what changes there."""
        return self._stages.install_at(connection, site)

    def withdraw_at(self, connection: Connection, site: str) -> dict[str, Changes]:
        """Nothing of a connection is left at one site: what changes there."""
        return self._stages.withdraw_at(connection, site)

    def withdraw_ingress(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """First stage of removal: nothing enters any more."""
        return self._stages.withdraw_ingress(connections)

    def repair(self, site: str, difference: Difference) -> Changes:
        """What makes a switch right that differs from what it shall hold."""
        return self._stages.repair(site, difference)

    def withdraw_all(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """Second stage of removal: nothing is left."""
        return self._stages.withdraw_all(connections)

    def install_trial(self, channels: Iterable[str]) -> dict[str, Changes]:
        """While channels are tried: both ends hand over what arrives on them of the trial's kind."""
        return self._stages.install_trial(channels)

    def withdraw_trial(self) -> dict[str, Changes]:
        """The end of the trial of all channels."""
        return self._stages.withdraw_trial()

    # --- removing, restoring -------------------------------------------------------------------------------------

    def forget(self, name: str) -> None:
        """Give back everything a slice holds. Its rules must have been withdrawn (see :meth:`withdraw_all`)."""
        self.forget_connections(c.id for c in self.everything_of(name))
        self._allocations.release_retained(name)
        self._allocations.release_compute(name)
        self._registry.forget_slice(name)

    def forget_connections(self, ids: Iterable[str]) -> None:
        """Give back what connections hold: bandwidth, key rate, labels, addresses."""
        for connection_id in list(ids):
            self._keys.forget_relay(connection_id)
            self._allocations.forget_connection(self._registry.forget_connection(connection_id))

    def restore(self, kept: Iterable[tuple[SliceRecord, Iterable[Connection]]], process: int = 0) -> None:
        """Take over the slices read back from the journal, with the labels and addresses they had.

        ``process`` counts the processes of this journal. What was reserved stays reserved whatever the key rates are
        now; they count as unknown until told anew.
        """
        for section in self.topology.sections:
            self.observe_section(section.id, 0, is_usable=False)
        self.set_unknown_sections(s.id for s in self.topology.sections)
        self._allocations.begin_process(process)
        in_mode = partial(connection_in_mode, encryption=self.encryption, always=self.policy.always)
        for record, connections in kept:
            record = replace(record, request=record.request.in_mode(self.encryption, self.policy.always))
            self._registry.restore_slice(record)
            if record.connection_ids:  # else it is SCHEDULED or FAILED
                self._allocations.reserve_compute(record)
            for saved in connections:
                connection = self._registry.restore_connection(in_mode(saved))
                self._allocations.restore_connection(connection)
                if connection.state is not ConnectionState.PENDING:
                    self.remove_old([connection.id])
        for channel in used_spares(self.connections.values(), self.spares):
            self.set_spare(channel, Spare(SpareState.LIT))
