"""Constrained path computation: the one question the rest of the controller asks, for one route or a pair.

:func:`find_route` and :func:`plan_slice` explain a refusal, which costs many further searches; ``search_route``,
``search_pair`` and ``search_slice`` only say None and are for whoever is in a hurry, such as healing.
"""

from __future__ import annotations

from typing import Protocol

from controller.model.errors import BoundReached
from controller.model.path import Route
from controller.model.request import ConnectionRequest, SliceRequest
from controller.pce.disjoint_pair import FoundPair, RoutePair, search_pair
from controller.pce.infeasibility import Infeasible, Reason, Relaxation, explain_connection
from controller.pce.joint_planning import JointPlan, JointPlanner, PlannedConnection, reserve_planned
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network
from controller.pce.placement import SlicePlan, UnknownKeyRates, search_slice
from controller.pce.route_query import search_route
from controller.pce.slice_infeasibility import explain_slice

__all__ = [
    "ExactPlanner",
    "ExactRoutes",
    "FoundPair",
    "Infeasible",
    "PlannedConnection",
    "Reason",
    "Relaxation",
    "RouteFinder",
    "RoutePair",
    "SlicePlan",
    "SlicePlanner",
    "UnknownKeyRates",
    "find_route",
    "plan_slice",
    "reserve_planned",
    "search_pair",
    "search_route",
    "search_slice",
]


class SlicePlanner(Protocol):
    """Who plans slices: for whoever has time, without a lock."""

    def plan_slice(self, network: Network, request: SliceRequest) -> SlicePlan | UnknownKeyRates | Infeasible:
        """As :func:`plan_slice`."""

    def plan_together(self, network: Network, requests: tuple[ConnectionRequest, ...]) -> JointPlan | None:
        """Paths for some connections of a slice, which fit together; None: they do not."""


class RouteFinder(Protocol):
    """Who finds other paths for connections that move: while others wait for the lock."""

    def find_route(
        self, network: Network, request: ConnectionRequest, avoid: frozenset[str], relay: FoundRelay | None
    ) -> Route | None:
        """A path for ``request``, with its keys over ``relay`` if one is given; None: there is none.

        ``avoid`` are those of the sites it excludes that whoever asked for the slice has not excluded.
        """


class ExactPlanner:
    """Plans of this package."""

    def plan_slice(self, network: Network, request: SliceRequest) -> SlicePlan | UnknownKeyRates | Infeasible:
        return plan_slice(network, request)

    def plan_together(self, network: Network, requests: tuple[ConnectionRequest, ...]) -> JointPlan | None:
        return JointPlanner(network).plan(requests)


class ExactRoutes:
    """Routes of this package."""

    def find_route(
        self, network: Network, request: ConnectionRequest, avoid: frozenset[str], relay: FoundRelay | None
    ) -> Route | None:
        return search_route(network, request, relay=relay)


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
