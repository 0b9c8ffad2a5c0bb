"""A pair of routes or why there is none: what tests ask of the search for pairs and of its explanations."""

from __future__ import annotations

from dataclasses import replace

from controller.model.path import Route
from controller.model.request import ConnectionRequest, Protection
from controller.pce.disjoint_pair import RoutePair, search_pair
from controller.pce.infeasibility import Infeasible, explain_connection
from controller.pce.network import Network
from controller.pce.route_query import search_route


def find_disjoint_pair(network: Network, request: ConnectionRequest) -> RoutePair | Infeasible:
    """Working and backup route that share as little as possible, cheapest among those, or why there are none."""
    found = search_pair(network, request)
    if found is not None:
        return found.routes
    if not request.spec.protection.has_backup:
        request = replace(request, spec=replace(request.spec, protection=Protection.ONE_TO_ONE))
    return explain_connection(network, request, _two_routes)


def _two_routes(network: Network, request: ConnectionRequest) -> tuple[Route, ...] | None:
    if not request.spec.protection.has_backup:
        # A pair was asked for; the relaxed request gave that up.
        route = search_route(network, request)
        return None if route is None else (route,)
    found = search_pair(network, request)
    return None if found is None else (found.routes.working, found.routes.backup)
