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


class Startup:
    """Whole or gone: nothing stays half done."""

    def __init__(self, context: OperationContext, deletion: Deletion, reconciliation: Reconciliation) -> None:
        self._context = context
        self._deletion = deletion
        self._reconciliation = reconciliation

    def load(self) -> None:
        """Take over what the journal holds; call once, before any switch is heard.

        A slice that was being modified is in its old form until the new one had been proven, and in its new form then.
        """
        context, model = self._context, self._context.model
        with context.lock:
            model.restore(context.journal.load(), context.journal.begin_process())
            for record in list(model.slices.values()):
                log.info("slice %s: %s, from the journal", record.name, record.state.value)
                if record.state is SliceState.MODIFYING:
                    model.settled(record.name)
                    context.save_if_possible(record.name)

    def recover(self) -> None:
        """Finish what the last process left half done: undo creations, complete deletions, tell the tunnel agents."""
        context = self._context
        with context.lock:
            records = list(context.model.slices.values())
            for record in records:
                if record.state is SliceState.PROVISIONING:
                    context.model.set_slice_state(record.name, SliceState.DELETING)
        for record in records:
            if record.state in (SliceState.PROVISIONING, SliceState.DELETING):
                log.info("slice %s was %s when the last process ended: removed", record.name, record.state.value)
                try:
                    self._deletion.remove(record.name, SliceState.DELETED)
                    if record.state is SliceState.PROVISIONING and record.request.start is not None:
                        self._schedule_again(record)
                except DriverError as error:
                    log.warning("slice %s: %s; it will be tried again", record.name, error)
        self._reconciliation.restore_tunnels()

    def _schedule_again(self, record: SliceRecord) -> None:
        """Nobody waits for the answer of a scheduled slice who could ask again: its start is due, and tried anew."""
        context = self._context
        with context.lock:
            scheduled = SliceRecord(record.request, None, (), SliceState.SCHEDULED, created_at=record.created_at)
            context.journal.save((scheduled, ()))
            context.model.schedule(scheduled)
            context.announce(scheduled)
