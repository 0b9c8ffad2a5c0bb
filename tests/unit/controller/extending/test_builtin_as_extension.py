"""The builtin path computation, asked as an extension, gives the very plans that it gives otherwise."""

from __future__ import annotations

import pytest

from controller.extending.audit import audited_plan, audited_route
from controller.extending.builtin import BuiltinPce
from controller.extending.views import connection_ask, network_view, slice_ask
from controller.model.latency import LatencyModel
from controller.model.operator_policy import CostProfile
from controller.model.request import Protection, connections_of
from controller.pce.computation import search_route, search_slice
from controller.pce.placement import candidates
from scripts.bench.pce.instances import SmallLimits, small_connection, small_listed, small_network, small_slice
from scripts.extensions.api import ConnectionAsk, NetworkView, Route, SliceAsk, SlicePlan
from scripts.extensions.codec import decode, encode

LIMITS = SmallLimits(sites=5, channels=9, cells=1)


PROFILES = tuple(CostProfile)
MODELS = (LatencyModel(), LatencyModel(switch_us=30, tunnel_us=70))


def through_json(kind, value):
    """What comes out at the other end of a worker's socket."""
    return decode(kind, encode(kind, value))


def drawn(seed, limits):
    profile, latency = PROFILES[seed % 3 == 0], MODELS[seed % 5 == 0]
    return small_network(seed, limits, is_one_sided=seed % 2 == 1, profile=profile, latency=latency)


@pytest.mark.parametrize("seed", range(120))
def test_slices_get_the_same_plan_to_the_byte(seed):
    network = small_network(
        seed, LIMITS, is_one_sided=seed % 2 == 1, profile=PROFILES[seed % 3 == 0], latency=MODELS[seed % 5 == 0]
    )
    request = small_listed(seed, network) if seed % 2 else small_slice(seed, network, LIMITS)
    ask = through_json(SliceAsk, slice_ask(network, request))
    answer = BuiltinPce().plan(through_json(NetworkView, network_view(network)), ask)
    expected = search_slice(network, request)
    if expected is None:
        assert answer is None
        return
    assert answer is not None
    answer = through_json(SlicePlan, answer)
    placements = [(site, connections_of(request, site)) for site in candidates(network, request)]
    planned = audited_plan(network, placements, answer)
    assert repr(planned) == repr(expected.connections)
    assert (answer.site, answer.is_proven) == (expected.compute_site, expected.is_proven)


@pytest.mark.parametrize("seed", range(120))
def test_connections_get_the_same_route_to_the_byte(seed):
    network = small_network(
        seed, SmallLimits(), is_one_sided=seed % 2 == 1, profile=PROFILES[seed % 3 == 0], latency=MODELS[seed % 5 == 0]
    )
    request = small_connection(seed, network, Protection.RESTORATION, is_directed=seed % 2 == 1)
    view = through_json(NetworkView, network_view(network))
    answer = BuiltinPce().route(view, through_json(ConnectionAsk, connection_ask(network, request)), ())
    expected = search_route(network, request)
    if expected is None:
        assert answer is None
    else:
        assert answer is not None
        assert repr(audited_route(network, request, through_json(Route, answer))) == repr(expected)
