"""Changing a slice that is at work: what moves, what stays, and how to go back. Decisions only.

A change is planned on a copy of the network that counts what the slice holds as free, and the copy takes the
network's place at once or not at all. Until the change is proven the slice keeps, beside its new form, whatever the
old one held more of (:class:`~controller.state.allocations.Retained`): so going back always fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.forwarding.protection_groups import has_fitting_labels
from controller.model.connection import Connection, owner_of
from controller.model.errors import ControllerError
from controller.model.path import Lane, Route
from controller.model.request import Compute, SliceRequest, compute_of, connections_of
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.pce.computation import SlicePlan, UnknownKeyRates
from controller.pce.infeasibility import Infeasible
from controller.pce.joint_planning import PlannedConnection
from controller.pce.network import Network, OverCommitted
from controller.pce.placement import has_compute
from controller.state.allocations import Retained
from controller.state.network_state import NetworkState


@dataclass(frozen=True)
class SliceChange:
    """A change under way: the old form, and the connections of the new one by what happens to them."""

    before: SliceRecord
    connections_before: tuple[Connection, ...]
    changed: tuple[str, ...]  # other lanes, rate or keys under the same addresses
    added: tuple[str, ...]
    leaving: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.before.name

    def old(self, connection_id: str) -> Connection:
        """The connection as it was."""
        return next(c for c in self.connections_before if c.id == connection_id)


def plan_change(
    model: NetworkState, request: SliceRequest, is_placement_open: bool
) -> SlicePlan | UnknownKeyRates | Infeasible:
    """What the slice would get instead of what it has; nothing is changed.

    Connections that ask for nothing new and work stay where they are, unless the rest fits in no other way.
    ``is_placement_open`` lets the compute site move under ``site: auto``; else it stays.
    """
    record, old = model.slice(request.name), model.connections_of(request.name)
    free = model.network.copy()
    _release(free, model, record, old)
    site = request.shape.site
    if site is None and not is_placement_open:
        site = record.compute_site
    pinned = request.placed_at(site)
    if not pinned.shape.is_open and has_compute(free, pinned, site):
        partly = _plan_the_rest(model, request, site, old)
        if partly is not None:
            return partly
    plan = model.planner.plan_slice(free, pinned)
    return replace(plan, request=request) if isinstance(plan, SlicePlan) else plan


def _plan_the_rest(
    model: NetworkState, request: SliceRequest, site: str | None, old: tuple[Connection, ...]
) -> SlicePlan | None:
    """A plan in which every connection that asks for nothing new keeps its way; None when the rest does not fit."""
    staying = {c.request.id: c for c in old if c.lanes and c.state is ConnectionState.ACTIVE}
    wanted = connections_of(request, site)
    kept = {r.id: staying[r.id] for r in wanted if r.id in staying and staying[r.id].request == r}
    network = model.network.copy()
    for connection in old:
        if connection.request.id not in kept:
            _release_lanes(network, connection)
    plan = model.planner.plan_together(network, tuple(r for r in wanted if r.id not in kept))
    if plan is None:
        return None
    found = {planned.request.id: planned for planned in plan.connections}
    found |= {i: _as_planned(connection) for i, connection in kept.items()}
    return SlicePlan(request, site, tuple(found[r.id] for r in wanted), plan.is_proven)


def _as_planned(connection: Connection) -> PlannedConnection:
    routes = [lane.route for lane in connection.lanes]
    return PlannedConnection(connection.request, routes[0], routes[1] if len(routes) > 1 else None)


def begin(model: NetworkState, plan: SlicePlan) -> SliceChange:
    """Take over the plan of a change: all or nothing. The slice is MODIFYING and holds both its forms after it."""
    name = plan.request.name
    before, old = model.slice(name), model.connections_of(name)
    network = model.network.copy()
    _release(network, model, before, old)
    draft = _Draft(model, network)
    try:
        new = [draft.connection(planned, old) for planned in plan.connections]
        network.reserve_compute(name, compute_of(plan.request, plan.compute_site))
        owners = _retain(network, name, old, new)
        compute_owner = _retain_compute(network, before, plan)
    except ControllerError:
        draft.undo()
        raise
    by_id = {c.id: c for c in old}
    leaving = tuple(c.id for c in old if c.id not in {n.id for n in new})
    changed = tuple(c.id for c in new if c.id in by_id and not _is_same(by_id[c.id], c))
    added = tuple(c.id for c in new if c.id not in by_id)
    lanes = {c.id: c.lanes for c in old if c.id in changed or c.id in leaving}
    retained = Retained(owners, compute_owner, lanes, leaving)
    # What is leaving held is in what the slice retains: healing must not touch it any more.
    moved = (
        *(c.become(ConnectionState.REROUTING, reason=None) for c in new if c.id in changed),
        *(c.become(ConnectionState.INSTALLING) for c in new if c.id in added),
        *(model.connections[i].become(ConnectionState.LEAVING, reason=None) for i in leaving),
    )
    record = replace(
        before.become(SliceState.MODIFYING),
        request=plan.request, compute_site=plan.compute_site, connection_ids=tuple(c.id for c in new),
    )  # fmt: skip
    model.adopt_form(record, moved, retained, network)
    return SliceChange(before, old, changed, added, leaving)


def revert(model: NetworkState, change: SliceChange) -> tuple[Connection, ...]:
    """Put the old form back; the connections that are to be removed are returned, and retained until they are.

    Old ways are held again with what they had. One that is taken by now (it failed, healing left it, it came back and
    somebody else was quicker) leaves its connection DEGRADED, to be tried again.
    """
    name, before = change.name, change.before
    network = model.network.copy()
    present = model.connections_of(name)
    _release(network, model, model.slice(name), present)
    retained = model.retained[name]
    for owner in retained.owners:
        network.release(owner)
    if retained.compute_owner is not None:
        network.release_compute(retained.compute_owner)
    network.reserve_compute(name, compute_of(before.request, before.compute_site))
    added = tuple(c for c in present if c.id in change.added)
    moved = {*change.changed, *change.leaving}
    for connection in present:
        if connection.id not in moved and connection not in added:
            _reserve_lanes(network, connection)
    returned = [c.become(ConnectionState.REMOVING, reason=None) for c in added]
    for old in (c for c in change.connections_before if c.id in moved):
        now = model.connections[old.id]
        lanes = old.lanes if _reserve_lanes(network, old) else ()
        restored = replace(old, lanes=lanes, state=now.state, generation=now.generation)
        target = ConnectionState.REROUTING if lanes else ConnectionState.DEGRADED
        returned.append(restored if restored.state is target else restored.become(target))
    record = replace(
        model.slice(name), request=before.request, compute_site=before.compute_site,
        connection_ids=before.connection_ids,
    )  # fmt: skip
    model.adopt_form(record, returned, Retained((), None, {}, tuple(c.id for c in added)), network)
    return added


class _Draft:
    """New connections on a copy of the network; labels and numbers are taken for real and given back by ``undo``."""

    def __init__(self, model: NetworkState, network: Network) -> None:
        self._model = model
        self._network = network
        self._lanes: list[tuple[str, Lane]] = []
        self._numbers: list[int] = []

    def connection(self, planned: PlannedConnection, old: Iterable[Connection]) -> Connection:
        """The connection that ``planned`` becomes: the one there is, as long as it has the same ends."""
        there = next((c for c in old if c.request.id == planned.request.id), None)
        if there is not None and (there.request.src, there.request.dst) == (planned.request.src, planned.request.dst):
            connection = replace(there, request=planned.request)
            if planned.request != there.request or planned.routes != tuple(lane.route for lane in there.lanes):
                # Planned anew: at the level asked for, and on the way that is preferred from now on.
                connection = replace(connection, fallback=None, preferred=None)
        else:
            number = self._model.take_number()
            self._numbers.append(number)
            edition = 0 if there is None else there.edition + 1
            connection = Connection(planned.request, number, (), 0, edition=edition)
        known, lanes, generation = list(connection.lanes), [], connection.generation
        ways = {_way(route) for route in planned.routes}
        leaving = frozenset(k.generation for k in known if _way(k.route) not in ways)
        for route in planned.routes:
            # A lane that lacks the labels its new protection needs is laid anew, beside itself.
            is_fit = [k for k in known if has_fitting_labels(connection, k)]
            lane = next((k for k in is_fit if _way(k.route) == _way(route)), None)
            if lane is None:
                generation += 1
                lane = self._model.take_labels(connection, route, generation, leaving)
                self._lanes.append((connection.id, lane))
            else:
                known.remove(lane)
                lane = replace(lane, route=route)
            lanes.append(lane)
        connection = replace(connection, lanes=tuple(lanes), generation=generation)
        for position, lane in enumerate(lanes):
            _reserve_lane(self._network, connection, lane, is_first=position == 0)
        return connection

    def undo(self) -> None:
        for connection_id, lane in self._lanes:
            self._model.give_back_labels(connection_id, lane)
        for number in self._numbers:
            self._model.give_back_number(number)


def _is_same(old: Connection, new: Connection) -> bool:
    return (old.request, old.lanes, old.state) == (new.request, new.lanes, ConnectionState.ACTIVE)


def _way(route: Route) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return route.sites, route.channels


def _reserve_lane(network: Network, connection: Connection, lane: Lane, *, is_first: bool) -> None:
    spec = connection.in_force
    network.reserve(
        owner_of(connection, lane), lane.route, spec.reserved_kbps, spec.key_rate_millibps if is_first else 0
    )


def _reserve_lanes(network: Network, connection: Connection) -> bool:
    """Take back what a connection held: all its lanes, or False and none. Key rate is taken as far as there is any."""
    taken: list[str] = []
    for position, lane in enumerate(connection.lanes):
        try:
            try:
                _reserve_lane(network, connection, lane, is_first=position == 0)
            except OverCommitted:
                _reserve_lane(network, connection, lane, is_first=False)
        except OverCommitted:
            for owner in taken:
                network.release(owner)
            return False
        taken.append(owner_of(connection, lane))
    return bool(connection.lanes)


def _release(network: Network, model: NetworkState, record: SliceRecord, connections: Iterable[Connection]) -> None:
    for connection in connections:
        _release_lanes(network, connection)
    if record.name in model.computing:
        network.release_compute(record.name)


def _release_lanes(network: Network, connection: Connection) -> None:
    for lane in connection.lanes:
        network.release(owner_of(connection, lane))


def _retain(network: Network, name: str, old: Iterable[Connection], new: Iterable[Connection]) -> tuple[str, ...]:
    """Hold on every channel and section what the old form had more of than the new one has; by the owners' names.

    Key rate that has been lost in the meantime cannot be held, and is not missed until the slice goes back.
    """
    owners = []
    more = _use(old) - _use(new)
    for (is_section, element, sender), amount in sorted(more.items()):
        owner = f"{name}~section {element}" if is_section else f"{name}~channel {element} from {sender}"
        if is_section:
            route = Route((), (), 0, 0, key_sections=((element, 1),))
            try:
                network.reserve(owner, route, 0, amount)
            except OverCommitted:
                continue
        else:
            receiver = network.topology.channel(element).other(sender)
            route = Route((sender, receiver), (element,), 0, 0)
            # What a wavelength gives is held by itself: its circuits' maxima may add up to more than it has.
            network.reserve(owner, route, (amount, 0), 0, is_on_wavelengths=False)
        owners.append(owner)
    pools = _pool_use(network, old) - _pool_use(network, new)
    if pools:
        owners.append(f"{name}~wavelengths")
        network.reserve_wavelengths(owners[-1], pools)
    return tuple(owners)


def _pool_use(network: Network, connections: Iterable[Connection]) -> Counter[int]:
    """What connections hold of wavelengths, by pool."""
    use: Counter[int] = Counter()
    for connection in connections:
        for lane in connection.lanes:
            use += network.index.pools.demand(network.index.arcs_of(lane.route), connection.in_force.reserved_kbps)
    return use


def _use(connections: Iterable[Connection]) -> Counter[tuple[bool, str, str]]:
    """What connections hold: bandwidth per channel and sender, and key rate per section, which is marked by True."""
    use: Counter[tuple[bool, str, str]] = Counter()
    for connection in connections:
        along, against = connection.in_force.reserved_kbps
        for position, lane in enumerate(connection.lanes):
            sites = lane.route.sites
            for channel, sender, receiver in zip(lane.route.channels, sites[:-1], sites[1:], strict=True):
                use[False, channel, sender] += along
                use[False, channel, receiver] += against
            if position == 0:
                for section, times in lane.route.key_sections:
                    use[True, section, ""] += times * connection.in_force.key_rate_millibps
    return use


def _retain_compute(network: Network, before: SliceRecord, plan: SlicePlan) -> str:
    """Hold the compute that the old form had more of."""
    new = compute_of(plan.request, plan.compute_site)
    old = compute_of(before.request, before.compute_site)
    owner = f"{before.name}~"
    network.reserve_compute(owner, {site: need.beyond(new.get(site, Compute())) for site, need in old.items()})
    return owner
