"""What a command ends with when it does not succeed (docs: contracts, "Exit status")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CommandError(Exception):
    """Base: the message is for the person at the terminal, ``exit_status`` for the shell, ``problem`` for programs: the
    controller's problem document (RFC 9457), where there is one."""

    exit_status = 1

    def __init__(self, message: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class DidNotHold(CommandError):
    """The request was understood, and what it asked for did not come about."""

    exit_status = 1


class WrongRequest(CommandError):
    """The request names something that does not exist or is malformed; the message names the field."""

    exit_status = 2


class EnvironmentLacks(CommandError):
    """The machine or the run lacks something; the message says how to get it."""

    exit_status = 3
