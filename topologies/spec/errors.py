"""The error of a topology that cannot exist."""

from __future__ import annotations


class TopologyError(ValueError):
    """A topology that cannot exist; the message names the element and what is wrong with it."""
