"""What an operator decides for all slices: which methods are in every key of QKD, and what premium channels are for.

"A network operator would likely select a network policy which always applies one, or both, of these techniques in
addition to available QKD hardware"; "it may be possible to route traffic which does not strictly require encryption
over free encrypted links" (paper 001, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from topologies.spec import SecurityClass


class CostProfile(Enum):
    """Whether lesser traffic may take channels of a higher class than it asks for."""

    PREMIUM_LAST = "premium-last"  # only where nothing else fits
    USE_FREE_PREMIUM = "use-free-premium"  # like any other, the less loaded the sooner

    @property
    def counts_surplus(self) -> bool:
        """Whether levels above what is asked for cost anything."""
        return self is CostProfile.PREMIUM_LAST


@dataclass(frozen=True)
class OperatorPolicy:
    """The policy in force; requests do not say it, and journals do not keep it."""

    always: tuple[SecurityClass, ...] = ()
    """Methods that every key of QKD is combined with."""

    cost_profile: CostProfile = CostProfile.PREMIUM_LAST


NO_POLICY = OperatorPolicy()
