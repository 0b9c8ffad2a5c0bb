"""After a restart of this process: the journal read, and what was half done finished or undone."""

from __future__ import annotations

import logging

from controller.model.errors import DriverError
from controller.model.slice_record import SliceRecord
from controller.model.states import SliceState
from controller.operations.context import OperationContext
from controller.operations.reconciliation import Reconciliation
from controller.operations.slices.deletion import Deletion

log = logging.getLogger(__name__)

HALF_DONE = (SliceState.PROVISIONING, SliceState.DELETING)


class Startup:
    """Whole or gone: nothing stays half done."""

    def __init__(self, context: OperationContext, deletion: Deletion, reconciliation: Reconciliation) -> None:
        self._context = context
        self._deletion = deletion
        self._reconciliation = reconciliation
        self._half_done: list[SliceRecord] = []  # as the journal had them

    def load(self) -> None:
        """Take over what the journal holds; call once, before any switch is heard.

        A slice that was being modified is in its old form until the new one had been proven, and in its new form then.
        One that was being created or deleted is DELETING, for :meth:`recover`.
        """
        context, model = self._context, self._context.model
        with context.lock:
            model.restore(context.journal.load(), context.journal.begin_process())
            for record in list(model.slices.values()):
                log.info("slice %s: %s, from the journal", record.name, record.state.value)
                if record.state is SliceState.MODIFYING:
                    model.settled(record.name)
                    context.save_if_possible(record.name)
                elif record.state in HALF_DONE:
                    self._half_done.append(record)
                    if record.state is not SliceState.DELETING:
                        model.set_slice_state(record.name, SliceState.DELETING)

    def recover(self) -> None:
        """Finish what the last process left half done: undo creations, complete deletions, tell the tunnel agents.

        Called again after it has failed, it goes on where it was: what others have begun by then is theirs.
        """
        while self._half_done:
            self._finish(self._half_done[0])
            del self._half_done[0]
        self._reconciliation.restore_tunnels()

    def _finish(self, record: SliceRecord) -> None:
        present = self._context.model.slices.get(record.name)
        if present is None or present.state is not SliceState.DELETING:
            return  # it has been struck out since an earlier attempt failed
        log.info("slice %s was %s when the last process ended: removed", record.name, record.state.value)
        try:
            self._deletion.remove(record.name, SliceState.DELETED)
            if record.state is SliceState.PROVISIONING and record.request.start is not None:
                self._schedule_again(record)
        except DriverError as error:
            log.warning("slice %s: %s; it will be tried again", record.name, error)

    def _schedule_again(self, record: SliceRecord) -> None:
        """Nobody waits for the answer of a scheduled slice who could ask again: its start is due, and tried anew."""
        context = self._context
        with context.lock:
            scheduled = SliceRecord(record.request, None, (), SliceState.SCHEDULED, created_at=record.created_at)
            context.journal.save((scheduled, ()))
            context.model.schedule(scheduled)
            context.announce(scheduled)
