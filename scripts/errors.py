"""What a command ends with when it does not succeed (docs: contracts, "Exit status")."""

from __future__ import annotations


class CommandError(Exception):
    """Base: the message is for the person at the terminal, ``exit_status`` for the shell."""

    exit_status = 1


class DidNotHold(CommandError):
    """The request was understood, and what it asked for did not come about."""

    exit_status = 1


class WrongRequest(CommandError):
    """The request names something that does not exist or is malformed; the message names the field."""

    exit_status = 2


class EnvironmentLacks(CommandError):
    """The machine or the run lacks something; the message says how to get it."""

    exit_status = 3
