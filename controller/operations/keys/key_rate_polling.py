"""Key rates as the KMS tells them: what they mean for the slices that live on them."""

from __future__ import annotations

import logging

from controller.model.errors import DriverError
from controller.model.events import SectionChanged, SectionState, SliceWarned
from controller.model.key_rates import SectionStatus
from controller.model.states import ConnectionState
from controller.operations.context import OperationContext

log = logging.getLogger(__name__)


class KeyRatePolling:
    """Keeps the model's key rates fresh, and says which slices a section that stops or returns concerns."""

    def __init__(self, context: OperationContext) -> None:
        self._context = context
        self._has_news = False

    def refresh(self) -> frozenset[str] | None:
        """Ask the KMS for its rates; what it does not answer for counts as dry.

        The sections that it has stopped; None when it does not answer: then nothing is known to be lost.
        """
        context = self._context
        silence = None
        try:
            told = {s.id: s for s in context.key_rates.sections()}
        except DriverError as error:
            if any(s.is_usable for s in context.sections.values()):
                log.warning("key rates unknown: %s", error)
            told, silence = {}, str(error)
        with context.lock:
            for section in context.model.topology.sections:
                self._note(told.get(section.id, SectionStatus(section.id, 0, False, None)))
            is_known = {s.id for s in told.values() if not s.is_starting}
            silent = context.model.network.index.section_ids if silence is not None else told.keys() - is_known
            context.model.set_unknown_sections(silent)
        stopped = frozenset(s.id for s in told.values() if not s.is_usable and not s.is_starting)
        context.kms_silence = silence
        return stopped if silence is None else None

    def take_news(self) -> bool:
        """Whether there is more key than before somewhere while a QKD connection waits; asked once, then forgotten."""
        with self._context.lock:
            has_news, self._has_news = self._has_news, False
            return has_news and any(
                (c.state is ConnectionState.DEGRADED or c.fallback is not None) and c.request.spec.key_rate_millibps
                for c in self._context.model.connections.values()
            )

    def _note(self, status: SectionStatus) -> None:
        context = self._context
        before = context.sections.get(status.id)
        context.model.observe_section(status.id, status.rate_millibps, is_usable=status.is_usable)
        context.sections[status.id] = status
        if before is None or (
            status.is_usable and (not before.is_usable or status.rate_millibps > before.rate_millibps)
        ):
            self._has_news = True
        if before is not None and before.is_usable is status.is_usable:
            return
        state = SectionState.USABLE if status.is_usable else SectionState.UNUSABLE
        log.info("QKD section %s is %s", status.id, state.value)
        users = [
            c
            for c in context.model.connections.values()
            if c.lanes and any(section == status.id for section, _ in c.lanes[0].route.key_sections)
        ]
        affected = tuple(sorted(c.id for c in users))
        context.events.publish(SectionChanged(status.id, state, status.qber, affected))
        for name in sorted({c.request.slice_name for c in users}):
            hit = tuple(sorted(c.id for c in users if c.request.slice_name == name))
            warning = "it gives keys again" if status.is_usable else "it gives no keys any more"
            reason = f"QKD section {status.id} is {state.value}: {warning}"
            context.events.publish(SliceWarned(name, status.id, hit, reason))
