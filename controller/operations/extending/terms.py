"""On which terms an extension is asked, and what is told when it fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from controller.model.events import ExtensionRefused
from controller.operations.event_log import EventLog
from scripts.extensions.loading import Identity

log = logging.getLogger(__name__)


class OnFailure(Enum):
    """What is done when an extension fails or its answer is refused."""

    REJECT = "reject"
    BUILTIN = "builtin"


class Asked(Protocol):
    """An extension in its process (:class:`scripts.extensions.client.Worker`)."""

    @property
    def identity(self) -> Identity | None: ...

    def ask(self, call: str, *values: Any) -> Any:
        """Raises ExtensionError."""


@dataclass(frozen=True)
class Terms:
    """An extension in force."""

    worker: Asked
    events: EventLog
    on_failure: OnFailure = OnFailure.REJECT
    is_audited: bool = True
    """False is for tests of the auditor alone: what can be installed at all is installed."""

    @property
    def name(self) -> str:
        """Kind, name and version."""
        return str(self.worker.identity)

    @property
    def uses_builtin(self) -> bool:
        return self.on_failure is OnFailure.BUILTIN

    def refuse(self, about: str, code: str, reason: str) -> None:
        """Tell that an answer about a slice or connection is not used, and why."""
        used = "builtin" if self.uses_builtin else "nothing"
        log.warning("%s: %s: %s: %s; used instead: %s", self.name, about, code, reason, used)
        self.events.publish(ExtensionRefused(self.name, about, code, reason, used))
