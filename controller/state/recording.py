"""What concerns one part of the controller's state alone: each method hands on to the part that keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from controller.model.connection import Connection, Reroute, SlowRekey
from controller.model.connectivity import Finding
from controller.model.dark_channel import Spare
from controller.model.path import Lane, Route
from controller.model.reason import Reason
from controller.model.recurrence import Occurrence
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.state.reading import StateReading
from topologies.spec import SecurityClass


class StateRecording(StateReading):
    """Records of slices and connections, drafts, and what is seen of the network."""

    # --- slices --------------------------------------------------------------------------------------------------

    def schedule(self, record: SliceRecord) -> None:
        """Keep a slice whose start is to come; it holds nothing."""
        self._registry.schedule(record)

    def unschedule(self, name: str) -> None:
        """Forget a slice that holds nothing: it is about to be made."""
        self._registry.unschedule(name)

    def keep_failed(self, record: SliceRecord) -> None:
        """Keep a slice that could not be made at its start, for its reason; it holds nothing."""
        self._registry.keep_failed(record)

    def take_occurrence(self, name: str, occurrence: Occurrence) -> SliceRecord:
        """A slice that is being made is this one of its occurrences."""
        return self._registry.take_occurrence(name, occurrence)

    def begin_deleting(self, name: str, following: Occurrence | None) -> SliceRecord:
        """The slice goes; it comes again as ``following``, or not."""
        return self._registry.begin_deleting(name, following)

    def hold_reservation(self, name: str, reservation: str, expires_at: float) -> SliceRecord:
        """Keep a RESERVED slice for whoever commits it by this id, until ``expires_at`` (seconds since the epoch)."""
        return self._registry.hold_reservation(name, reservation, expires_at)

    def begin_provisioning(self, name: str) -> SliceRecord:
        """A RESERVED slice is being made: its reservation cannot expire any more."""
        return self._registry.begin_provisioning(name)

    def set_slice_state(self, name: str, state: SliceState) -> SliceRecord:
        """Raises IllegalTransition."""
        return self._registry.set_slice_state(name, state)

    def add_timings(self, name: str, timings_ms: Mapping[str, float]) -> SliceRecord:
        """Add how long stages took (milliseconds)."""
        return self._registry.add_timings(name, timings_ms)

    def refresh_state(self, name: str) -> SliceRecord:
        """Set a slice that is or was about to be ACTIVE or DEGRADED to what its connections amount to.

        One being provisioned or modified is left alone until that ends (see :meth:`settled`).
        """
        return self._registry.refresh_state(name)

    def settled(self, name: str) -> SliceRecord:
        """The end of a creation or modification: ACTIVE, or DEGRADED when a failure came in between."""
        return self._registry.settled(name)

    def put_back(self, record: SliceRecord, connections: Iterable[Connection]) -> None:
        """Undo changes that the journal would not have: as the slice was, of which nothing else has been changed."""
        self._registry.put_back(record, connections)

    # --- connections ---------------------------------------------------------------------------------------------

    def set_state(self, connection_id: str, state: ConnectionState, reason: Reason | None = None) -> Connection:
        """Raises IllegalTransition."""
        return self._registry.set_state(connection_id, state, reason)

    def note_reason(self, connection_id: str, reason: Reason | None) -> Connection:
        """Say why the connection is not what was asked for; its state stays."""
        return self._registry.note_reason(connection_id, reason)

    def keep_fallback(self, connection_id: str, level: SecurityClass | None) -> Connection:
        """Have the connection on this lower level; None: on the one asked for."""
        return self._registry.keep_fallback(connection_id, level)

    def slow_down(self, connection_id: str, pace: SlowRekey) -> Connection:
        """Renew the connection's keys less often than asked for."""
        return self._registry.slow_down(connection_id, pace)

    def restore_pace(self, connection_id: str) -> Connection:
        """Renew the connection's keys as often as asked for."""
        return self._registry.restore_pace(connection_id)

    def record_reroute(self, connection_id: str, reroute: Reroute) -> Connection:
        """Add to the connection's reroutes, and forget the oldest of too many."""
        return self._registry.record_reroute(connection_id, reroute)

    # --- changes under way ---------------------------------------------------------------------------------------

    def take_number(self) -> int:
        """A number for a connection that is being drafted. Raises ConnectionsExhausted."""
        return self._registry.take_number()

    def give_back_number(self, number: int) -> None:
        self._registry.give_back_number(number)

    def take_labels(self, connection: Connection, route: Route, generation: int, leaving: Collection[int] = ()) -> Lane:
        """A lane for a connection that is being drafted, after those ``leaving``; to be adopted or given back.

        Raises LabelsExhausted, ClientPortsExhausted.
        """
        return self._allocations.take_labels(connection, route, generation, leaving)

    def give_back_labels(self, connection_id: str, lane: Lane) -> None:
        self._allocations.give_back_labels(connection_id, lane)

    def release_old_lanes(self, name: str) -> None:
        """The labels of a slice's last form may go (see :meth:`remove_old`); what it reserved stays reserved."""
        self._allocations.release_old_lanes(name)

    def release_retained(self, name: str) -> None:
        """Give back what a modification kept of the old form; nothing where none is under way."""
        self._allocations.release_retained(name)

    # --- labels that switches may still know ---------------------------------------------------------------------

    def confirm_departures(self, site: str, departures: Iterable[int], now: float) -> None:
        """The switch has done all of the changes with these numbers; ``now`` is seconds on a steady clock.

        Changes nothing that a decision under way looks at twice: this may be called between two of its steps.
        """
        self._quarantine.confirm(site, departures, now)

    def confirm_comparison(self, site: str, departures: int, now: float) -> None:
        """The switch held what it shall and nothing else; :attr:`departures` was that before it was asked."""
        self._quarantine.compared(site, departures, now)

    def release_due_labels(self, now: float) -> None:
        """Labels under which nothing can arrive any more may be used again."""
        self._quarantine.release_due(now)

    # --- what is observed ----------------------------------------------------------------------------------------

    def set_unknown_sections(self, sections: Iterable[str]) -> None:
        """The sections of whose rate nobody has told."""
        self._keys.set_unknown_sections(sections)

    def observe_channels(self, changes: Mapping[str, bool], silent: Iterable[str]) -> tuple[str, ...]:
        """Record which channels are up and which are down by BFD alone; those of ``changes`` that are news."""
        return self._observations.observe_channels(changes, silent)

    def observe_section(self, section_id: str, rate_millibps: int, *, is_usable: bool) -> None:
        """Record what key rate (millibit/s) the KMS tells of a QKD section."""
        self._observations.observe_section(section_id, rate_millibps, is_usable=is_usable)

    def review_card_keys(self) -> None:
        """Let the cards of wavelengths hold their key rate by what is now known of the sections."""
        self._card_keys.review(self._network)

    def observe_findings(self, findings: Mapping[str, Finding]) -> None:
        """Record what the tunnels' probes say, by connection."""
        self._observations.observe_findings(findings)

    def observe_switches(self, ready: Iterable[str], now: float) -> None:
        """Record the sites whose switch is there; the others are away since ``now`` (steady clock, s) or longer."""
        self._observations.observe_switches(ready, now)

    def doubt_channels(self, channels: Iterable[str]) -> None:
        """Avoid exactly these channels where there is a choice."""
        self._observations.doubt_channels(channels)

    def note_conditions(self, conditions: Mapping[str, tuple[str, ...]]) -> None:
        """Keep what is to be known of each connection beside its state."""
        self._observations.note_conditions(conditions)

    def set_spare(self, channel_id: str, spare: Spare) -> None:
        """Record what has become of a spare; the graph may use it while it is lit."""
        self._observations.set_spare(channel_id, spare)
