"""Key rates as the KMS tells them: what they mean for the slices that live on them."""

from __future__ import annotations

import logging

from controller.model.errors import DriverError
from controller.model.events import SectionChanged, SectionState, SliceWarned
from controller.model.key_rates import SectionStatus
from controller.model.states import ConnectionState
from controller.operations.context import OperationContext

log = logging.getLogger(__name__)

WARNINGS = {
    SectionState.USABLE: "it gives keys again",
    SectionState.UNUSABLE: "it gives no keys any more",
    SectionState.RESTARTING: "it gives no keys until its devices have started again",
    SectionState.UNKNOWN: "what it gives is not known; keys in store serve on",
}


class KeyRatePolling:
    """Keeps the model's key rates fresh, and says which slices a section that stops or returns concerns."""

    def __init__(self, context: OperationContext) -> None:
        self._context = context
        self._has_news = False

    def refresh(self) -> frozenset[str] | None:
        """Ask the KMS for its rates; a section that it does not know counts as dry.

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
                unheard_of = SectionStatus(section.id, 0, False, None, is_known=silence is None)
                self._note(told.get(section.id, unheard_of))
            context.model.set_unknown_sections(s.id for s in context.sections.values() if not s.is_known)
            context.model.review_card_keys()
        stopped = frozenset(s.id for s in told.values() if not s.is_usable and s.is_known)
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
        is_more = before is not None and status.is_usable and status.rate_millibps > before.rate_millibps
        state = SectionState.of(status)
        is_news = before is None or SectionState.of(before) is not state
        # What waits for rates to be known is also to hear that there is none.
        self._has_news |= is_more or (is_news and (status.is_usable or before is None or not before.is_known))
        if not is_news:
            return
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
            reason = f"QKD section {status.id} is {state.value}: {WARNINGS[state]}"
            context.events.publish(SliceWarned(name, status.id, hit, reason))
