"""Constrained path computation: the one question the rest of the controller asks, for one route or a pair.

:func:`find_route` and :func:`plan_slice` explain a refusal, which costs many further searches; ``search_route``,
``search_pair`` and ``search_slice`` only say None and are for whoever is in a hurry, such as healing.
"""

from __future__ import annotations

from controller.model.errors import BoundReached
from controller.model.path import Route
from controller.model.request import ConnectionRequest, SliceRequest
from controller.pce.disjoint_pair import FoundPair, RoutePair, search_pair
from controller.pce.infeasibility import Infeasible, Reason, Relaxation, explain_connection
from controller.pce.joint_planning import PlannedConnection, reserve_planned
from controller.pce.network import Network
from controller.pce.placement import SlicePlan, UnknownKeyRates, search_slice
from controller.pce.route_query import search_route
from controller.pce.slice_infeasibility import explain_slice

__all__ = [
    "FoundPair",
    "Infeasible",
    "PlannedConnection",
    "Reason",
    "Relaxation",
    "RoutePair",
    "SlicePlan",
    "UnknownKeyRates",
    "find_route",
    "plan_slice",
    "reserve_planned",
    "search_pair",
    "search_route",
    "search_slice",
]


def find_route(network: Network, request: ConnectionRequest) -> Route | Infeasible:
    """The cheapest route under all constraints of ``request`` with its key relay, or why there is none."""
    route = search_route(network, request)
    return explain_connection(network, request, _one_route) if route is None else route


def _one_route(network: Network, request: ConnectionRequest) -> tuple[Route, ...] | None:
    route = search_route(network, request)
    return None if route is None else (route,)


def plan_slice(network: Network, request: SliceRequest) -> SlicePlan | UnknownKeyRates | Infeasible:
    """The cheapest plan for the whole slice on the network as it is, or why there is none. Nothing is reserved.

    A refusal does not hang on key rates that are unknown, and what it lists as nearest fits if those give enough.
    Raises BoundReached, if the network's effort has a bound.
    """
    plan = search_slice(network, request)
    if plan is not None:
        return plan
    supplied = network.supplied() if network.unknown_sections else network
    if supplied is not network:
        hoped_for = search_slice(supplied, request)
        if hoped_for is not None:
            return UnknownKeyRates(tuple(sorted(hoped_for.key_sections & network.unknown_sections)), hoped_for)
    try:
        return explain_slice(supplied, request)
    except BoundReached:
        raise BoundReached("it does not fit; why was not found within the bound of a search") from None
