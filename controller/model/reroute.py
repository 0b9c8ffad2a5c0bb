"""The causes for which a connection moves."""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """Why a connection has moved."""

    FAILURE = "failure"  # its way failed, or one has come back for it
    SPARE = "spare"  # dark channels were lit for it
    FALLBACK = "fallback"  # no way at the level asked for: a lower one that the request lists
    FALLBACK_UNDONE = "fallback-undone"
    SPARE_PUT_OUT = "spare-put-out"  # lit channels suffice again
    KEYS = "keys"  # its keys come over another relay
    REVERT = "revert"  # back to its original path
