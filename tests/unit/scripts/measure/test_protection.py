"""What measurements ask for on networks that cannot protect everything."""

from __future__ import annotations

from typing import Any

import pytest

from controller.pce.computation import SlicePlan, plan_slice
from controller.pce.network import Network
from controller.schema.slice_request import parse_slice_request
from scripts.bench.failover import run as failover
from scripts.experiments.chaos.run import chaos_requests
from scripts.measure.places import places_in
from scripts.measure.protection import PLENTY_MILLIBPS, protected_if_possible
from topologies.catalog import CATALOG, load
from topologies.spec import Topology

REQUESTS = {"chaos": chaos_requests, "failover": lambda places: failover.probed_requests(places).values()}


def fits(topology: Topology, request: dict[str, Any]) -> bool:
    network = Network(topology)
    for section in topology.sections:
        network.set_section(section.id, PLENTY_MILLIBPS, usable=True)
    return isinstance(plan_slice(network, parse_slice_request(request)), SlicePlan)


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_shipped_network_can_make_what_chaos_and_failover_then_ask_for(name: str, what: str) -> None:
    topology = load(name)
    for request in REQUESTS[what](places_in(topology)):
        asked, given_up = protected_if_possible(topology, request)
        assert fits(topology, asked)
        if name == "metro-ring":
            assert (asked, given_up) == (request, ())
        else:
            protections = {role: fields.get("protection") for role, fields in asked["connections"].items()}
            assert not {"1:1", "1+1"} & set(protections.values())
            wanted = {r for r, f in request["connections"].items() if f.get("protection") in ("1:1", "1+1")}
            assert set(given_up) == wanted
