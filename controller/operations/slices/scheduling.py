"""Slices with a start or an end of their own: kept until it comes, made and removed by the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from controller.model.errors import ControllerError, DuplicateSlice, KeyRatesUnknown, SliceBusy, Superseded
from controller.model.moment import moment
from controller.model.recurrence import Occurrence
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import SliceState
from controller.operations.concurrency import Call, Parallel
from controller.operations.context import OperationContext
from controller.operations.keys.key_rate_polling import KeyRatePolling
from controller.operations.slices.deletion import Deletion
from controller.operations.slices.dry_run import Preview, preview
from controller.operations.slices.provisioning import Provisioning
from controller.schema.slice_request import patch_slice_request
from controller.schema.terms import check_times

log = logging.getLogger(__name__)


class Scheduling:
    """Starts SCHEDULED slices and ends those whose time is over; recurring ones come again.

    All by the calendar: a clock that is set forth passes over what would have been over by then, and one that is set
    back brings no occurrence twice.
    """

    def __init__(
        self, context: OperationContext, provisioning: Provisioning, deletion: Deletion, key_rates: KeyRatePolling
    ) -> None:
        self._context = context
        self._provisioning = provisioning
        self._deletion = deletion
        self._key_rates = key_rates
        self._under_way: set[tuple[str, str]] = set()  # what is being done, and to which slice

    def is_to_come(self, request: SliceRequest) -> bool:
        """Whether the slice is to start later than now, or recurs: then it is always begun by the clock."""
        starts_later = request.start is not None and request.start > self._context.clock()
        return starts_later or request.recurrence is not None

    def schedule(self, request: SliceRequest) -> SliceRecord:
        """Keep a slice until its start; it holds nothing until then. Raises DuplicateSlice, DriverError."""
        context = self._context
        with context.lock:
            if request.name in context.model.slices:
                raise DuplicateSlice(f"there is a slice {request.name!r} already")
            now = context.clock()
            occurrence = None if request.recurrence is None else request.recurrence.next(now)
            record = SliceRecord(request, None, (), SliceState.SCHEDULED, created_at=now, occurrence=occurrence)
            return self._keep(record)

    def _keep(self, record: SliceRecord) -> SliceRecord:
        """A SCHEDULED slice as it is from now on. Call with the lock held. Raises DriverError."""
        self._context.journal.save((record, ()))
        self._context.model.schedule(record)
        self._context.announce(record)
        return record

    def is_scheduled(self, name: str) -> bool:
        """Whether the slice is one that waits for its start. Raises UnknownSlice."""
        with self._context.lock:
            return self._context.model.slice(name).state is SliceState.SCHEDULED

    def change(self, name: str, patch: Any) -> SliceRecord:
        """Change a slice before its start, the start too, by a JSON merge patch; it holds nothing until then.

        With a start that has come, or none, it is made within a second. Raises UnknownSlice, SliceBusy when its start
        has come meanwhile, InvalidRequest, DriverError.
        """
        context = self._context
        with context.lock:
            before = context.model.slice(name)
            request = self._patched(before, patch)
            occurrence = before.occurrence
            if request.recurrence != before.request.recurrence:
                occurrence = None if request.recurrence is None else request.recurrence.next(context.clock())
            return self._keep(replace(before, request=request, occurrence=occurrence))

    def _patched(self, record: SliceRecord, patch: Any) -> SliceRequest:
        if record.state is not SliceState.SCHEDULED:
            raise SliceBusy(f"slice {record.name} is {record.state.value}: its start has come")
        context = self._context
        request = context.terms.accept(patch_slice_request(record.request, patch, has_begun=False))
        check_times(request, context.clock())
        return request

    def preview_change(self, name: str, patch: Any) -> Preview:
        """What the slice would reserve and send if it began now as changed; nothing is changed.

        Raises what :meth:`change` does, InfeasibleRequest, KeyRatesUnknown and BoundReached.
        """
        context = self._context
        with context.lock:
            record = context.model.slice(name)
            request = self._patched(record, patch)
        return self._provisioning.plan_then(request, lambda plan: preview(context.model, plan, record), record)

    @property
    def under_way(self) -> frozenset[str]:
        """The slices that are being started or ended by the clock now."""
        with self._context.lock:
            return frozenset(name for _, name in self._under_way)

    def run_due(self) -> None:
        """Begin to start and end what is due, each by itself; returns at once. A start whose agents do not answer holds
        up nothing but itself.
        """
        with self._context.lock:
            now = self._context.clock()
            records = list(self._context.model.slices.values())
            ending = [r for r in records if r.ends_at is not None and r.ends_at <= now]
            over = {r.name for r in ending}
            starting = [
                r
                for r in records
                if r.state is SliceState.SCHEDULED and r.name not in over and (r.begins_at or now) <= now
            ]
            due = [(self._end, "end", r.name) for r in ending if r.state is not SliceState.DELETING]
            due += [(self.start, "start", r.name) for r in starting]
            begun = [(work, what, name) for work, what, name in due if (what, name) not in self._under_way]
            self._under_way |= {(what, name) for _, what, name in begun}
        for each in begun:
            Parallel([Call(self._carry_out, *each)])

    def _carry_out(self, work: Callable[[str], None], what: str, name: str) -> None:
        try:
            work(name)
        finally:
            with self._context.lock:
                self._under_way.discard((what, name))

    def start(self, name: str) -> None:
        """Make a scheduled slice; when that cannot be, it is FAILED and says why. Unknown key rates it waits for."""
        log.info("slice %s: its start has come", name)
        context, received = self._context, self._context.steady()
        self._key_rates.refresh()
        with context.lock:
            scheduled = context.model.slices.get(name)
            if scheduled is None or scheduled.state is not SliceState.SCHEDULED:
                return
        try:
            self._provisioning.create((scheduled.request,), received, scheduled)
        except Superseded as error:
            log.info("slice %s: not made: %s", name, error)  # it is gone, or its new start comes
        except KeyRatesUnknown as error:
            log.info("%s; it is tried again", error)  # at the next look: it is still SCHEDULED
        except ControllerError as error:
            self._fail(scheduled, error)

    def _fail(self, scheduled: SliceRecord, error: ControllerError) -> None:
        context, name = self._context, scheduled.name
        with context.lock:
            present = context.model.slices.get(name)
            # A recurring one that was rolled back is there again, and waits.
            if present not in (None, scheduled) and not _is_same_wait(present, scheduled):
                return  # somebody has taken the name over since
            if scheduled.occurrence is not None and self._pass_over(scheduled, f"was not made: {error}"):
                return
            failed = scheduled.become(SliceState.FAILED, reason=str(error))
            context.model.keep_failed(failed)
            context.announce(failed)
            context.save_if_possible(name)

    def _pass_over(self, scheduled: SliceRecord, why: str) -> bool:
        """Have a SCHEDULED slice wait for its next occurrence; False where there is none. Call with the lock held."""
        following = self._following(scheduled)
        if following is None or scheduled.occurrence is None:
            return False
        reason = f"occurrence {scheduled.occurrence.number}, of {moment(scheduled.occurrence.start)}, {why}"
        log.warning("slice %s: %s", scheduled.name, reason)
        waiting = replace(scheduled, occurrence=following, reason=reason)
        self._context.model.schedule(waiting)
        self._context.announce(waiting)
        self._context.save_if_possible(scheduled.name)
        return True

    def _following(self, record: SliceRecord) -> Occurrence | None:
        recurrence, occurrence = record.request.recurrence, record.occurrence
        if recurrence is None or occurrence is None:
            return None
        return recurrence.next(self._context.clock(), after=occurrence.number)

    def _end(self, name: str) -> None:
        log.info("slice %s: its end has come", name)
        try:
            with self._context.lock:
                record = self._context.model.slice(name)
                if record.state is SliceState.SCHEDULED and self._pass_over(record, "was over before it was made"):
                    return
                following = self._following(record)
            self._deletion.delete(name, following)
        except ControllerError as error:
            log.warning("slice %s: not ended yet: %s", name, error)


def _is_same_wait(present: SliceRecord | None, scheduled: SliceRecord) -> bool:
    """Whether both wait for the same occurrence of the same request."""
    return (
        present is not None
        and present.state is SliceState.SCHEDULED
        and present.occurrence is not None
        and (present.request, present.occurrence) == (scheduled.request, scheduled.occurrence)
    )
