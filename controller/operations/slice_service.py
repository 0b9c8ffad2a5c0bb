"""Slices from request to removal: what the northbound API, the Ryu application and the clock may ask for.

Each operation is a file of its own; this one says what there is, and keeps time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from controller.forwarding.items import Item
from controller.model.errors import (
    ControllerError,
    DriverError,
    DuplicateSlice,
    ProvisioningFailed,
    ReservationExpired,
    ReservationOutcome,
)
from controller.model.key_rates import SectionStatus
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import SliceState
from controller.operations.concurrency import Call, Parallel
from controller.operations.connectivity_monitor import Confirming
from controller.operations.context import Engine, InfeasibleRequest
from controller.operations.deletion import Removal
from controller.operations.drivers import Journal, KeyRates, Switches, Tunnels
from controller.operations.event_log import EventLog
from controller.operations.feasibility import FeasibilityJob, FeasibilityJobs
from controller.operations.key_rate_polling import KeyWatch
from controller.operations.key_reservations import KeyBookings
from controller.operations.modification import Modifying
from controller.operations.provisioning import PROVISIONING_DEADLINE_S, Provisioning
from controller.operations.reconciliation import Recovery
from controller.operations.rekeying import Rekeying
from controller.operations.reservation import Reservation
from controller.operations.restoration_service import RestorationService
from controller.pce.computation import SlicePlan
from controller.policy.dark_channels import lit
from controller.schema.config import DEFAULT_HOLD_S
from controller.schema.slice_request import InvalidRequest
from controller.schema.terms import Terms, check_times
from controller.state.network_state import NetworkState

__all__ = ["InfeasibleRequest", "Lifecycle", "ProvisioningFailed", "Reservation"]

log = logging.getLogger(__name__)

DEFAULT_RESERVATION_S = 60.0


class Lifecycle:
    """Every method may be called from any thread. ``options`` are further fields of the engine, for tests."""

    def __init__(
        self,
        model: NetworkState,
        switches: Switches,
        tunnels: Tunnels,
        key_rates: KeyRates,
        journal: Journal,
        events: EventLog,
        spare_hold_s: float = DEFAULT_HOLD_S,
        **options: Any,
    ) -> None:
        self._engine = Engine(model, switches, tunnels, key_rates, journal, events, **options)
        self._removal = Removal(self._engine)
        self._provisioning = Provisioning(self._engine, self._removal)
        self._modifying = Modifying(self._engine, self._removal)
        self._recovery = Recovery(self._engine, self._removal)
        self._rerouting = RestorationService(self._engine, self._recovery, spare_hold_s)
        self._confirming = Confirming(self._engine, self._rerouting, self._recovery.restore_tunnels_at)
        self._keys = KeyWatch(self._engine)
        self._rekeying = Rekeying(self._engine)
        self._bookings = KeyBookings(self._engine)
        self._jobs = FeasibilityJobs()

    @property
    def terms(self) -> Terms:
        """What requests are held against."""
        return Terms(self.model.topology, self.model.forbidden_suites)

    @property
    def model(self) -> NetworkState:
        """To be read with :attr:`lock` held."""
        return self._engine.model

    @property
    def lock(self) -> threading.RLock:
        return self._engine.lock

    @property
    def events(self) -> EventLog:
        return self._engine.events

    @property
    def sections(self) -> dict[str, SectionStatus]:
        return self._engine.sections

    # --- one slice -----------------------------------------------------------------------------------------------

    def plan(self, request: SliceRequest) -> SlicePlan:
        """What a request would get, on fresh key rates. Raises InfeasibleRequest, DuplicateSlice, InvalidRequest."""
        self.refresh_keys()
        with self.lock:
            check_times(request, self._engine.clock())
            return self._provisioning.plan(request)

    def create(self, request: SliceRequest) -> SliceRecord:
        """A slice that is ACTIVE when this returns, or SCHEDULED when its start is to come.

        Raises InvalidRequest, InfeasibleRequest, DuplicateSlice, Overtaken when a delete won, DriverError, or
        ProvisioningFailed when everything has been rolled back.
        """
        received = self._engine.steady()
        now = self._engine.clock()
        check_times(request, now)
        if request.start is not None and request.start > now:
            return self._schedule(request, now)
        self.refresh_keys()
        return self._provisioning.create((request,), received)[0]

    def create_batch(self, requests: Sequence[SliceRequest]) -> tuple[SliceRecord, ...]:
        """All of them ACTIVE, or none made; planned in the order given. Errors as for :meth:`create`."""
        received = self._engine.steady()
        now = self._engine.clock()
        for position, request in enumerate(requests):
            check_times(request, now)
            if request.start is not None and request.start > now:
                raise InvalidRequest(((f"slices.{position}.start", "a batch starts at once"),))
        self.refresh_keys()
        return self._provisioning.create(requests, received) if requests else ()

    def plan_change(self, name: str, patch: Any) -> SlicePlan:
        """What :meth:`modify` would make of the slice; nothing is changed."""
        self.refresh_keys()
        with self.lock:
            return self._modifying.plan(name, patch)

    def modify(self, name: str, patch: Any) -> SliceRecord:
        """Change a slice by a JSON merge patch (RFC 7396) of its request, make before break.

        Raises UnknownSlice, SliceBusy, InvalidRequest, InfeasibleRequest, Overtaken, DriverError, ProvisioningFailed;
        after each but Overtaken the slice is what it was.
        """
        received = self._engine.steady()
        self.refresh_keys()
        return self._modifying.modify(name, patch, received)

    def delete(self, name: str) -> SliceRecord:
        """Remove a slice, whatever is being done to it. Raises UnknownSlice, SliceBusy, DriverError."""
        return self._removal.delete(name)

    # --- two phases, feasibility ---------------------------------------------------------------------------------

    def reserve(self, request: SliceRequest, ttl_s: float = DEFAULT_RESERVATION_S) -> Reservation:
        """Hold what the slice needs for ``ttl_s`` seconds. Errors as for :meth:`plan`, and DriverError."""
        self.refresh_keys()
        return self._provisioning.reserve(request, ttl_s)

    def commit(self, reservation_id: str) -> SliceRecord:
        """The reserved slice, ACTIVE. Raises UnknownReservation, ReservationExpired, and what :meth:`create` does."""
        return self._provisioning.commit(reservation_id, self._engine.steady())

    def roll_back(self, reservation_id: str) -> SliceRecord:
        """Give a reservation up. Raises UnknownReservation, ReservationExpired, DriverError."""
        return self._provisioning.roll_back(reservation_id)

    def reservation(self, reservation_id: str) -> SliceRecord:
        """The RESERVED slice of a reservation. Raises UnknownReservation, ReservationExpired."""
        with self.lock:
            return self._provisioning.reserved(reservation_id)

    def reservations(self) -> tuple[SliceRecord, ...]:
        """The slices that are reserved."""
        with self.lock:
            self._provisioning.expire()
            return self._provisioning.reservations()

    def check_feasibility(
        self, request: SliceRequest, *, reserve: bool = False, ttl_s: float = DEFAULT_RESERVATION_S
    ) -> FeasibilityJob:
        """A job that says whether the request fits now, and holds what it needs if told to. Raises DuplicateSlice."""
        engine = self._engine
        self.refresh_keys()
        with self.lock:
            job = FeasibilityJob(engine.new_id(), request, engine.clock(), None, None)
            check_times(request, job.asked_at)
            try:
                if reserve:
                    held = self._provisioning.reserve(request, ttl_s)
                    job = replace(job, plan=held.plan, reservation=held.id, expires_at=held.expires_at)
                else:
                    job = replace(job, plan=self._provisioning.plan(request))
            except InfeasibleRequest as error:
                job = replace(job, infeasible=error.infeasible)
            return self._jobs.add(job)

    def feasibility_job(self, job_id: str) -> FeasibilityJob:
        """Raises UnknownJob."""
        with self.lock:
            return self._jobs.get(job_id)

    def feasibility_jobs(self) -> tuple[FeasibilityJob, ...]:
        with self.lock:
            return self._jobs.all()

    def reservation_status(self, job: FeasibilityJob) -> str:
        """UNRESERVED, RESERVED or USED, as TS 28.541 has it."""
        if job.reservation is None:
            return "UNRESERVED"
        with self.lock:
            try:
                self._provisioning.reserved(job.reservation)
            except ReservationExpired as error:
                return "USED" if error.outcome is ReservationOutcome.COMMITTED else "UNRESERVED"
            return "RESERVED"

    def end_feasibility_job(self, job_id: str) -> FeasibilityJob:
        """Forget a job, and give up what it still reserves. Raises UnknownJob, DriverError."""
        with self.lock:
            job = self._jobs.get(job_id)
            if job.reservation is not None and self.reservation_status(job) == "RESERVED":
                self._provisioning.roll_back(job.reservation)
            return self._jobs.remove(job_id)

    # --- time ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What is due by the clock: reservations expire, slices begin and end. To be called about once a second."""
        with self.lock:
            self._provisioning.expire()
            now = self._engine.clock()
            records = list(self.model.slices.values())
        ending = [r for r in records if r.request.end is not None and r.request.end <= now]
        gone = {r.name for r in ending}
        starting = [
            r
            for r in records
            if r.state is SliceState.SCHEDULED and r.name not in gone and (r.request.start or now) <= now
        ]
        try:
            self._removal.strike_out_again()
        except DriverError as error:
            log.warning("%s", error)
        calls = [Call(self._end, r.name) for r in ending if r.state is not SliceState.DELETING]
        Parallel([*calls, *(Call(self._start, r.name) for r in starting)]).join(PROVISIONING_DEADLINE_S)

    def _schedule(self, request: SliceRequest, now: float) -> SliceRecord:
        engine = self._engine
        with self.lock:
            if request.name in self.model.slices:
                raise DuplicateSlice(f"there is a slice {request.name!r} already")
            record = SliceRecord(request, None, (), SliceState.SCHEDULED, created_at=now)
            engine.journal.save((record, ()))
            self.model.schedule(record)
            engine.announce(record)
            return record

    def _start(self, name: str) -> None:
        """Make a scheduled slice; when that cannot be, it is FAILED and says why."""
        log.info("slice %s: its start has come", name)
        engine, received = self._engine, self._engine.steady()
        self.refresh_keys()
        with self.lock:
            scheduled = self.model.slices.get(name)
            if scheduled is None or scheduled.state is not SliceState.SCHEDULED:
                return
        try:
            self._provisioning.create((scheduled.request,), received, scheduled)
        except ControllerError as error:
            with self.lock:
                if self.model.slices.get(name) not in (None, scheduled):
                    return  # somebody has taken the name over since
                failed = scheduled.become(SliceState.FAILED, reason=str(error))
                self.model.keep_failed(failed)
                engine.announce(failed)
                engine.save_if_possible(name)

    def _end(self, name: str) -> None:
        log.info("slice %s: its end has come", name)
        try:
            self.delete(name)
        except ControllerError as error:
            log.warning("slice %s: not ended yet: %s", name, error)

    # --- what happens --------------------------------------------------------------------------------------------

    def channels_changed(self, changes: dict[str, bool], silent: frozenset[str] = frozenset()) -> None:
        """Channels went down or came up: move what is hit, try again what waits. ``silent`` are down by BFD alone."""
        self._rerouting.channels_changed(changes, silent)
        if any(changes.values()):
            self._confirming.something_came_back()

    def listen(self, site: str) -> float:
        """Wait for what the agent at ``site`` has to tell of its probes; seconds to wait before the next call."""
        return self._confirming.listen(site)

    def confirm(self, check_switch: Callable[[str], bool]) -> None:
        """Bring states up to what the probes say, and leave ways on which they fail. To be called often.

        ``check_switch`` compares a site's switch with what it shall hold and repairs it: True when it was right.
        """
        self._confirming.tick(check_switch)

    def heal(self) -> None:
        """Reroute everything that is hit."""
        self._rerouting.heal()

    def retry(self) -> None:
        """Something has come back: try again everything that waits."""
        self._rerouting.retry()

    def care(self) -> None:
        """What healing has due by the clock; to be called about twice a second."""
        self._rerouting.care()

    def keep_dark(self, channels: Iterable[str]) -> None:
        """Dark channels whose ports were found up: they are held down again."""
        self._rerouting.keep_dark(channels)

    def lit_spares(self) -> tuple[str, ...]:
        """The spares that are lit, as after a restart those in use."""
        with self.lock:
            return lit(self.model)

    def refresh_keys(self) -> None:
        """Ask the KMS for its rates; what it does not answer for counts as dry."""
        self._keys.refresh()

    def poll_keys(self) -> None:
        """As :meth:`refresh_keys`; then book what is held, see to those who are short of keys, and try again what waits
        for them.
        """
        stopped = self._keys.refresh()
        if stopped is not None:
            self._bookings.review()
        is_moving = stopped is not None and self._rekeying.review(stopped)
        if is_moving:
            self._rerouting.heal()
        if self._keys.take_news() or is_moving:
            self._rerouting.retry()

    def load(self) -> None:
        """Take over what the journal holds; call once, before any switch is heard."""
        self._recovery.load()

    def recover(self) -> None:
        """Finish what the last process left half done: undo creations, complete deletions, tell the tunnel agents."""
        self._recovery.recover()

    def restore_tunnels(self) -> None:
        """Compare what the tunnel agents hold with what they shall."""
        self._recovery.restore_tunnels()

    def reconcile(self, site: str, installed: Iterable[Item]) -> bool:
        """Repair a switch by difference; True when it was right already. What is right is not touched."""
        return self._recovery.reconcile(site, installed)

    def switch_count(self) -> tuple[int, int]:
        """Switches that are connected and repaired, and those that there are."""
        sites = self.model.topology.site_names
        return sum(self._engine.switches.is_ready(site) for site in sites), len(sites)
