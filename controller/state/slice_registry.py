"""Slices and connections as records: what each is, in what state, at which level and pace, under which number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.model.connection import KEPT_REROUTES, MAX_CONNECTIONS, Connection, Reroute, SlowRekey
from controller.model.errors import ConnectionsExhausted, DuplicateSlice, UnknownSlice
from controller.model.path import Lane, Route
from controller.model.reason import Reason
from controller.model.recurrence import Occurrence
from controller.model.request import ConnectionRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.pce.computation import SlicePlan
from topologies.spec import SecurityClass


class SliceRegistry:
    """Knows nothing of what a lane takes up: whoever changes lanes here has reserved them, or given them back."""

    def __init__(self) -> None:
        self._slices: dict[str, SliceRecord] = {}
        self._connections: dict[str, Connection] = {}
        self._numbers: set[int] = set()
        # Made once: they are read in every loop over connections.
        self._slices_view = MappingProxyType(self._slices)
        self._connections_view = MappingProxyType(self._connections)

    def fork(self) -> SliceRegistry:
        """An independent registry with the same records."""
        twin = SliceRegistry()
        twin._slices.update(self._slices)
        twin._connections.update(self._connections)
        twin._numbers.update(self._numbers)
        return twin

    # --- reading -------------------------------------------------------------------------------------------------

    @property
    def slices(self) -> Mapping[str, SliceRecord]:
        return self._slices_view

    @property
    def connections(self) -> Mapping[str, Connection]:
        return self._connections_view

    def slice(self, name: str) -> SliceRecord:
        """Raises UnknownSlice."""
        try:
            return self._slices[name]
        except KeyError:
            raise UnknownSlice(f"there is no slice {name!r}") from None

    def connections_of(self, name: str) -> tuple[Connection, ...]:
        """The connections of the slice's present form."""
        return self.existing(self.slice(name).connection_ids)

    def existing(self, ids: Iterable[str]) -> tuple[Connection, ...]:
        """The connections of these ids that there are."""
        return tuple(self._connections[i] for i in ids if i in self._connections)

    # --- slices --------------------------------------------------------------------------------------------------

    def add(self, plan: SlicePlan, now: float) -> SliceRecord:
        """The RESERVED slice of a plan, its connections still to be added. Raises DuplicateSlice."""
        name = plan.request.name
        if name in self._slices:
            raise DuplicateSlice(f"there is a slice {name!r} already")
        ids = tuple(planned.request.id for planned in plan.connections)
        return self._keep_slice(SliceRecord(plan.request, plan.compute_site, ids, created_at=now))

    def schedule(self, record: SliceRecord) -> None:
        """Keep a slice whose start is to come; it holds nothing."""
        self._keep_slice(record)

    def unschedule(self, name: str) -> None:
        """Forget a slice that holds nothing: it is about to be made."""
        del self._slices[name]

    def keep_failed(self, record: SliceRecord) -> None:
        """Keep a slice that could not be made at its start, for its reason; it holds nothing."""
        self._keep_slice(record)

    def forget_slice(self, name: str) -> None:
        """Forget the record; its connections have been forgotten."""
        del self._slices[name]

    def restore_slice(self, record: SliceRecord) -> None:
        """Take over a slice read back from the journal."""
        self._keep_slice(record)

    def take_occurrence(self, name: str, occurrence: Occurrence) -> SliceRecord:
        """A slice that is being made is this one of its occurrences."""
        return self._keep_slice(replace(self.slice(name), occurrence=occurrence))

    def begin_deleting(self, name: str, following: Occurrence | None) -> SliceRecord:
        """The slice goes; it comes again as ``following``, or not."""
        return self._keep_slice(self.slice(name).become(SliceState.DELETING, occurrence=following))

    def hold_reservation(self, name: str, reservation: str, expires_at: float) -> SliceRecord:
        """Keep a RESERVED slice for whoever commits it by this id, until ``expires_at`` (seconds since the epoch)."""
        return self._keep_slice(replace(self.slice(name), reservation=reservation, expires_at=expires_at))

    def begin_provisioning(self, name: str) -> SliceRecord:
        """A RESERVED slice is being made: its reservation cannot expire any more."""
        return self._keep_slice(self.slice(name).become(SliceState.PROVISIONING, reservation=None, expires_at=None))

    def set_slice_state(self, name: str, state: SliceState) -> SliceRecord:
        """Raises IllegalTransition."""
        return self._keep_slice(self.slice(name).become(state))

    def add_timings(self, name: str, timings_ms: Mapping[str, float]) -> SliceRecord:
        """Add how long stages took (milliseconds)."""
        record = self.slice(name)
        return self._keep_slice(replace(record, timings_ms={**record.timings_ms, **timings_ms}))

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

    def put_back(self, record: SliceRecord, connections: Iterable[Connection]) -> None:
        """Undo changes that the journal would not have: as the slice was, of which nothing else has been changed."""
        self._keep_slice(record)
        self._connections.update({c.id: c for c in connections})

    def adopt_form(self, record: SliceRecord, moved: Iterable[Connection]) -> None:
        """Let a slice have another form, and these connections theirs."""
        self._connections.update({c.id: c for c in moved})
        self._keep_slice(record)

    # --- connections ---------------------------------------------------------------------------------------------

    def add_connection(self, request: ConnectionRequest) -> Connection:
        """A connection without lanes. Raises ConnectionsExhausted."""
        return self._keep(Connection(request, self.take_number(), (), 0))

    def restore_connection(self, saved: Connection) -> Connection:
        """Take over a connection read back from the journal; one that was on the move has arrived or is lost."""
        self._numbers.add(saved.number)
        if saved.state is not ConnectionState.REROUTING:
            return self._keep(saved)
        state = ConnectionState.ACTIVE if saved.lanes else ConnectionState.DEGRADED
        return self._keep(saved.become(state, reason=saved.reason))

    def forget_connection(self, connection_id: str) -> Connection:
        """Forget the record and give its number back; what it was."""
        connection = self._connections.pop(connection_id)
        self.give_back_number(connection.number)
        return connection

    def set_state(self, connection_id: str, state: ConnectionState, reason: Reason | None = None) -> Connection:
        """Raises IllegalTransition."""
        return self._keep(self._connections[connection_id].become(state, reason=reason))

    def note_reason(self, connection_id: str, reason: Reason | None) -> Connection:
        """Say why the connection is not what was asked for; its state stays."""
        return self._keep(replace(self._connections[connection_id], reason=reason))

    def keep_fallback(self, connection_id: str, level: SecurityClass | None) -> Connection:
        """Have the connection on this lower level; None: on the one asked for."""
        return self._keep(replace(self._connections[connection_id], fallback=level))

    def slow_down(self, connection_id: str, pace: SlowRekey) -> Connection:
        """Renew the connection's keys less often than asked for."""
        return self._keep(replace(self._connections[connection_id], slow_rekey=pace))

    def restore_pace(self, connection_id: str) -> Connection:
        """Renew the connection's keys as often as asked for."""
        return self._keep(replace(self._connections[connection_id], slow_rekey=None))

    def record_reroute(self, connection_id: str, reroute: Reroute) -> Connection:
        """Add to the connection's reroutes, and forget the oldest of too many."""
        connection = self._connections[connection_id]
        return self._keep(replace(connection, reroutes=(*connection.reroutes, reroute)[-KEPT_REROUTES:]))

    # --- lanes ---------------------------------------------------------------------------------------------------

    def add_lane(self, connection_id: str, lane: Lane) -> Connection:
        """A further lane, behind those there are."""
        connection = self._connections[connection_id]
        return self._keep(replace(connection, lanes=(*connection.lanes, lane), generation=lane.generation))

    def leave_lanes(self, connection_id: str, left: tuple[Lane, ...]) -> Connection:
        """Have these lanes alone, of those it has. What comes after the last is asked for at the full level first."""
        connection = self._connections[connection_id]
        fallback = connection.fallback if left else None
        return self._keep(replace(connection, lanes=left, preferred=_preferred(connection, left), fallback=fallback))

    def swap_lanes(self, drawn: Connection, lanes: tuple[Lane, ...]) -> Connection:
        """Have other lanes, as :func:`drawn_at` a level."""
        generation = drawn.generation + len(lanes)
        return self._keep(replace(drawn, lanes=lanes, generation=generation, preferred=_preferred(drawn, lanes)))

    def undo_release(self, before: Connection) -> Connection:
        """As the connection was before it left lanes."""
        return self._keep(before)

    def move_keys(self, connection_id: str, lane: Lane) -> Connection:
        """The working lane with another key relay."""
        connection = self._connections[connection_id]
        return self._keep(replace(connection, lanes=(lane, *connection.lanes[1:])))

    # --- numbers -------------------------------------------------------------------------------------------------

    def take_number(self) -> int:
        """The lowest free number: addresses follow from it. Raises ConnectionsExhausted."""
        for number in range(MAX_CONNECTIONS):
            if number not in self._numbers:
                self._numbers.add(number)
                return number
        raise ConnectionsExhausted(f"all {MAX_CONNECTIONS} connection addresses are taken")

    def give_back_number(self, number: int) -> None:
        self._numbers.discard(number)

    def _keep(self, connection: Connection) -> Connection:
        self._connections[connection.id] = connection
        return connection

    def _keep_slice(self, record: SliceRecord) -> SliceRecord:
        self._slices[record.name] = record
        return record


def drawn_at(connection: Connection, fallback: SecurityClass | None) -> Connection:
    """The connection at the level asked for or a fallback. A lower level has keys of its own, renewed as asked."""
    return replace(connection, fallback=fallback, slow_rekey=connection.slow_rekey if fallback is None else None)


def _preferred(connection: Connection, lanes: tuple[Lane, ...]) -> Route | None:
    """The way to return to once the connection has ``lanes``: the first that it had, until it is on it again."""
    if connection.request.spec.revert_after_s is None:
        return None
    original = connection.preferred or connection.route
    is_back = bool(lanes) and original is not None and lanes[0].route.channels == original.channels
    return None if is_back else original
