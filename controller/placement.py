"""Planning a whole slice: compute site and routes together, on one snapshot of the network.

:func:`plan_slice` explains a refusal; ``search_slice`` only says None.
"""

from __future__ import annotations

from controller.embedding import SlicePlan, search_slice
from controller.explain import Infeasible
from controller.explain_slice import explain_slice
from controller.graph import Network
from controller.joint import PlannedConnection, reserve_planned
from controller.model import SliceRequest

__all__ = ["Infeasible", "PlannedConnection", "SlicePlan", "plan_slice", "reserve_planned", "search_slice"]


def plan_slice(network: Network, request: SliceRequest) -> SlicePlan | Infeasible:
    """The cheapest plan for the whole slice on the network as it is, or why there is none. Nothing is reserved."""
    plan = search_slice(network, request)
    return explain_slice(network, request) if plan is None else plan
