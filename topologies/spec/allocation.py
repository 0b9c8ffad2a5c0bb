"""How connections are given room on channels."""

from __future__ import annotations

from enum import Enum


class Allocation(Enum):
    """Whether connections share a channel's capacity, or each has client ports of its own along its path.

    ``CIRCUIT`` is the papers' way (paper 002, section 2): a hop takes one client port of the channel's wavelength at
    both of its ends.
    """

    SHARED = "shared"
    CIRCUIT = "circuit"
