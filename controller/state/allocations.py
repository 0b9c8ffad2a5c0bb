"""What slices take up: bandwidth, compute and labels, and what they hold beside that while they move or are changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from controller.forwarding.client_ports import ClientPortPool
from controller.forwarding.label_quarantine import LabelQuarantine
from controller.forwarding.labels import LabelPool
from controller.forwarding.protection_groups import has_detours
from controller.model.connection import Connection, owner_of
from controller.model.errors import ControllerError
from controller.model.path import Lane, Route
from controller.model.request import compute_of
from controller.model.slice_record import SliceRecord
from controller.pce.network import Network


@dataclass(frozen=True)
class Retained:
    """What a slice being modified keeps of its old form: reservations by owner, lanes, connections about to leave."""

    owners: tuple[str, ...]
    compute_owner: str | None
    lanes: Mapping[str, tuple[Lane, ...]]
    leaving: tuple[str, ...]


class LabelCounts(Protocol):
    """The labels, to be read."""

    def taken(self, channel: str, sender: str) -> int:
        """How many labels are in use on a channel in the direction away from ``sender``."""
        ...


class PortHolders(Protocol):
    """The client ports, to be read."""

    def holders(self, wavelength: str) -> Mapping[int, frozenset[str]]:
        """The connections in use by port; several are a fault."""
        ...


class Allocations:
    """Reserves in ``network``, which the other parts read and tell what they observe."""

    def __init__(self, network: Network, quarantine: LabelQuarantine) -> None:
        self._network = network
        self._labels = LabelPool(quarantine)
        self._ports = ClientPortPool(network.topology)
        self._computing: frozenset[str] = frozenset()  # slices that hold compute
        # Lanes whose labels are held: the current ones and, during a reroute, those being left.
        self._held_lanes: dict[str, tuple[Lane, ...]] = {}
        # What a modification holds beside what the slice has now, until it is finished or undone.
        self._retained: dict[str, Retained] = {}
        self._held_lanes_view = MappingProxyType(self._held_lanes)
        self._retained_view = MappingProxyType(self._retained)

    def fork(self, network: Network, quarantine: LabelQuarantine) -> Allocations:
        """Independent allocations that are the same, in copies of the network and of the quarantine."""
        twin = Allocations(network, quarantine)
        twin._labels = self._labels.copy(quarantine)
        twin._ports = self._ports.copy()
        twin._computing = self._computing
        twin._held_lanes.update(self._held_lanes)
        twin._retained.update(self._retained)
        return twin

    # --- reading -------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> LabelCounts:
        return self._labels

    @property
    def ports(self) -> PortHolders:
        return self._ports

    @property
    def computing(self) -> frozenset[str]:
        return self._computing

    @property
    def held_lanes(self) -> Mapping[str, tuple[Lane, ...]]:
        return self._held_lanes_view

    @property
    def retained(self) -> Mapping[str, Retained]:
        return self._retained_view

    def leaving(self, name: str) -> tuple[str, ...]:
        """The connections about to leave the slice."""
        retained = self._retained.get(name)
        return () if retained is None else retained.leaving

    # --- lanes ---------------------------------------------------------------------------------------------------

    def add_lane(self, connection: Connection, route: Route, *, is_kept: bool) -> Lane:
        """Reserve a further lane: all or nothing. ``is_kept``: its keys need not be there."""
        lane = self.take_labels(connection, route, connection.generation + 1)
        # Both lanes of a protected connection carry the same keys: the key is paid for once.
        key_rate = 0 if connection.lanes else connection.in_force.key_rate_millibps
        bandwidth = connection.request.spec.reserved_kbps
        try:
            self._network.reserve(owner_of(connection, lane), route, bandwidth, key_rate, is_kept=is_kept)
        except ControllerError:
            self.give_back_labels(connection.id, lane)
            raise
        self._hold(connection.id, (lane,))
        return lane

    def drop_lanes(self, connection: Connection, lanes: Iterable[Lane]) -> None:
        """Give back bandwidth and key rate; labels and ports stay held until :meth:`release_left_labels`."""
        for lane in lanes:
            self._network.release(owner_of(connection, lane))
            self._ports.leave(connection.id, lane)

    def swap_lanes(self, old: Connection, drawn: Connection, routes: Iterable[Route]) -> tuple[Lane, ...]:
        """Reserve lanes for ``drawn`` in place of those of ``old``, which count as free: all or nothing."""
        fresh: list[Lane] = []
        reserved: list[str] = []
        self.drop_lanes(old, old.lanes)
        try:
            for position, route in enumerate(routes):
                lane = self.take_labels(old, route, old.generation + 1 + position)
                fresh.append(lane)
                key_rate = 0 if position else drawn.in_force.key_rate_millibps
                self._network.reserve(owner_of(old, lane), route, old.request.spec.reserved_kbps, key_rate)
                reserved.append(owner_of(old, lane))
        except ControllerError:
            for owner in reserved:
                self._network.release(owner)
            for lane in fresh:
                self.give_back_labels(old.id, lane)
            self._reserve_kept(old)
            raise
        self._hold(old.id, fresh)
        return tuple(fresh)

    def undo_release(self, present: Connection, before: Connection) -> None:
        """Let a connection have what it had ``before``, in place of what it has: nothing else was decided since."""
        self.drop_lanes(before, present.lanes)
        self._reserve_kept(before)

    def hold_instead(self, connection_id: str, lane: Lane) -> None:
        """The same lane with another key relay."""
        held = self._held_lanes.get(connection_id, ())
        self._held_lanes[connection_id] = tuple(lane if x.generation == lane.generation else x for x in held)

    def release_left_labels(self, connection: Connection) -> None:
        """Give back the labels of lanes that were left, but for those that the slice retains."""
        retained = self._retained.get(connection.request.slice_name)
        kept = connection.lanes + (() if retained is None else retained.lanes.get(connection.id, ()))
        generations = {lane.generation for lane in kept}
        for lane in self._held_lanes.get(connection.id, ()):
            if lane.generation not in generations:
                self.give_back_labels(connection.id, lane)
        self._held_lanes[connection.id] = tuple({lane.generation: lane for lane in kept}.values())

    def begin_process(self, process: int) -> None:
        """Take labels of another part than the process before this one did."""
        self._labels.begin(process)

    def restore_connection(self, connection: Connection) -> None:
        """Take over what a connection read back from the journal had, whatever the key rates are by now."""
        self._held_lanes[connection.id] = connection.lanes
        for lane in connection.lanes:
            self._labels.claim(lane)
            self._ports.claim(connection.id, lane)
        self._reserve_kept(connection)

    def forget_connection(self, connection: Connection) -> None:
        """Give back bandwidth, key rate and labels."""
        for lane in connection.lanes:
            owner = owner_of(connection, lane)
            if self._network.is_reserved(owner):  # one that is leaving has its share in what the slice retains
                self._network.release(owner)
        for lane in self._held_lanes.pop(connection.id, ()):
            self.give_back_labels(connection.id, lane)

    def _hold(self, connection_id: str, lanes: Iterable[Lane]) -> None:
        self._held_lanes[connection_id] = (*self._held_lanes.get(connection_id, ()), *lanes)

    def _reserve_kept(self, connection: Connection) -> None:
        """Reserve what was held a moment ago, or by the last process, whatever the key rates are by now."""
        spec = connection.in_force
        for position, lane in enumerate(connection.lanes):
            key_rate = 0 if position else spec.key_rate_millibps
            owner = owner_of(connection, lane)
            self._network.reserve(owner, lane.route, spec.reserved_kbps, key_rate, is_kept=True)
            self._ports.stay(connection.id, lane)

    # --- labels of drafts ----------------------------------------------------------------------------------------

    def take_labels(self, connection: Connection, route: Route, generation: int, leaving: Collection[int] = ()) -> Lane:
        """A lane with labels and client ports, and nothing else yet. ``leaving``: generations that it comes after.

        Raises LabelsExhausted, ClientPortsExhausted.
        """
        lane = self._labels.allocate(route, generation, with_detours=has_detours(connection))
        try:
            return replace(lane, ports=self._ports.take(connection.id, route, generation, leaving))
        except ControllerError:
            self._labels.release(lane)
            raise

    def give_back_labels(self, connection_id: str, lane: Lane) -> None:
        self._labels.release(lane)
        self._ports.release(connection_id, lane)

    # --- compute -------------------------------------------------------------------------------------------------

    def reserve_compute(self, record: SliceRecord) -> None:
        """Take the slice's compute at its sites. Raises OverCommitted."""
        self._network.reserve_compute(record.name, compute_of(record.request, record.compute_site))
        self._computing |= {record.name}

    def release_compute(self, name: str) -> None:
        """Give back the slice's compute, if it has any."""
        if name in self._computing:
            self._computing -= {name}
            self._network.release_compute(name)

    # --- modifications -------------------------------------------------------------------------------------------

    def adopt_form(self, name: str, moved: Iterable[Connection], retained: Retained, network: Network) -> None:
        """Let reservations be those of ``network``, and hold the labels of the lanes that connections have now."""
        self._network.take_over(network)
        for connection in moved:
            held = {lane.generation: lane for lane in (*self._held_lanes.get(connection.id, ()), *connection.lanes)}
            self._held_lanes[connection.id] = tuple(held.values())
        self._retained[name] = retained

    def release_old_lanes(self, name: str) -> None:
        """The labels of a slice's last form may go; what it reserved stays reserved."""
        self._retained[name] = replace(self._retained[name], lanes={})

    def release_retained(self, name: str) -> None:
        """Give back what a modification kept of the old form; nothing where none is under way."""
        retained = self._retained.pop(name, None)
        if retained is None:
            return
        for owner in retained.owners:
            self._network.release(owner)
        if retained.compute_owner is not None:
            self._network.release_compute(retained.compute_owner)
