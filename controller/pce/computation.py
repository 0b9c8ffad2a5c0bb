"""Constrained path computation: the one question the rest of the controller asks, for one route or a pair.

:func:`find_route` and :func:`find_disjoint_pair` explain a refusal, which costs many further searches;
``search_route`` and ``search_pair`` only say None and are for whoever is in a hurry, such as healing.
"""

from __future__ import annotations

from dataclasses import replace

from controller.model.path import Route
from controller.model.request import ConnectionRequest, Protection, SliceRequest
from controller.pce.disjoint_pair import FoundPair, RoutePair, search_pair
from controller.pce.infeasibility import Infeasible, Reason, Relaxation, explain_connection
from controller.pce.joint_planning import PlannedConnection, reserve_planned
from controller.pce.network import Network
from controller.pce.placement import SlicePlan, search_slice
from controller.pce.route_query import search_route
from controller.pce.slice_infeasibility import explain_slice

__all__ = [
    "FoundPair",
    "Infeasible",
    "Reason",
    "Relaxation",
    "RoutePair",
    "find_disjoint_pair",
    "find_route",
    "search_pair",
    "search_route",
]


def find_route(network: Network, request: ConnectionRequest) -> Route | Infeasible:
    """The cheapest route under all constraints of ``request`` with its key relay, or why there is none."""
    route = search_route(network, request)
    return explain_connection(network, request, _one_route) if route is None else route


def find_disjoint_pair(network: Network, request: ConnectionRequest) -> RoutePair | Infeasible:
    """Working and backup route that share as little as possible, cheapest among those, or why there are none."""
    found = search_pair(network, request)
    if found is not None:
        return found.routes
    if not request.spec.protection.has_backup:
        request = replace(request, spec=replace(request.spec, protection=Protection.ONE_TO_ONE))
    return explain_connection(network, request, _two_routes)


def _one_route(network: Network, request: ConnectionRequest) -> tuple[Route, ...] | None:
    route = search_route(network, request)
    return None if route is None else (route,)


def _two_routes(network: Network, request: ConnectionRequest) -> tuple[Route, ...] | None:
    if not request.spec.protection.has_backup:
        # A pair was asked for; the relaxed request gave that up.
        return _one_route(network, request)
    found = search_pair(network, request)
    return None if found is None else (found.routes.working, found.routes.backup)


__all__ = ["Infeasible", "PlannedConnection", "SlicePlan", "plan_slice", "reserve_planned", "search_slice"]


def plan_slice(network: Network, request: SliceRequest) -> SlicePlan | Infeasible:
    """The cheapest plan for the whole slice on the network as it is, or why there is none. Nothing is reserved."""
    plan = search_slice(network, request)
    return explain_slice(network, request) if plan is None else plan
