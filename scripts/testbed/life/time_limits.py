"""How long a network may take to come and to go. What ends by itself is noticed at once: this is for what hangs.

Machines may be slow, and networks large, so each site adds to what a small network is given on a slow machine.
"""

from __future__ import annotations

_START_S, _START_OF_SITE_S = 300.0, 10.0
_DOWN_S, _DOWN_OF_SITE_S = 30.0, 5.0


def start_timeout_s(sites: int) -> float:
    """Within which each part of a network has to be ready."""
    return _START_S + sites * _START_OF_SITE_S


def down_timeout_s(sites: int) -> float:
    """Within which who holds a network has to have ended it, before it is ended by force."""
    return _DOWN_S + sites * _DOWN_OF_SITE_S
