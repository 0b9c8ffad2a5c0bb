"""The network as the controller sees it: states, reservations, and what is left."""

from __future__ import annotations

import pytest

from controller.model.path import Route
from controller.model.request import Compute
from controller.pce.network import AlreadyReserved, Network, OverCommitted
from controller.pce.network_index import channel_latency_us
from tests.support.small_networks import channel, network, topology
from topologies.catalog import load


def route(*channels: str, sections: tuple[tuple[str, int], ...] = ()) -> Route:
    return Route(sites=(), channels=channels, latency_us=0, cost=0, key_sections=sections)


@pytest.fixture
def line() -> Network:
    return network(
        channel("x", "a", "b", mbps=100),
        channel("y", "b", "c", mbps=50),
        links=[("a", "b", ("s1", "s2"))],
        compute={"b": 4},
    )


def test_latency_is_whole_microseconds_rounded_up() -> None:
    assert channel_latency_us(channel("x", "a", "b", km=10)) == 64  # 49 us of fibre and not 49.00000000000001
    assert channel_latency_us(channel("x", "a", "b", km=0.1)) == 16
    assert channel_latency_us(channel("x", "a", "b", km=121)) == 608


def test_a_reservation_is_taken_and_given_back_exactly(line: Network) -> None:
    line.set_section("s1", 1000, True)
    line.reserve("c", route("x", "y", sections=(("s1", 2),)), 50_000, 400)
    assert (line.residual_kbps("x"), line.residual_kbps("y")) == (50_000, 0)
    assert (line.reserved_kbps("x"), line.reserved_key_millibps("s1"), line.residual_key_millibps("s1")) == (
        50_000,
        800,
        200,
    )
    line.release("c")
    assert (line.residual_kbps("x"), line.residual_kbps("y"), line.residual_key_millibps("s1")) == (
        100_000,
        50_000,
        1000,
    )
    with pytest.raises(KeyError):
        line.release("c")


def test_a_reservation_is_all_or_nothing(line: Network) -> None:
    with pytest.raises(OverCommitted) as refused:
        line.reserve("c", route("x", "y"), 60_000, 0)
    assert (refused.value.element, refused.value.need, refused.value.available) == ("y", 60_000, 50_000)
    assert line.residual_kbps("x") == 100_000
    line.reserve("c", route("x"), 60_000, 0)  # the refused owner holds nothing
    with pytest.raises(AlreadyReserved):
        line.reserve("c", route("y"), 1, 0)
    assert line.residual_kbps("y") == 50_000


def test_a_channel_used_twice_needs_the_bandwidth_twice(line: Network) -> None:
    with pytest.raises(OverCommitted):
        line.reserve("c", route("x", "x"), 60_000, 0)
    line.reserve("c", route("x", "x"), 50_000, 0)
    assert line.residual_kbps("x") == 0


def test_an_unknown_key_rate_fails_closed() -> None:
    bare = Network(topology([channel("x", "a", "b")], [("a", "b", ("s1",))]))
    assert bare.residual_key_millibps("s1") == 0
    with pytest.raises(OverCommitted):
        bare.reserve("c", route("x", sections=(("s1", 1),)), 0, 1)


def test_a_section_that_slows_down_never_has_less_than_nothing_left(line: Network) -> None:
    line.set_section("s1", 1000, True)
    line.reserve("c", route(sections=(("s1", 1),)), 0, 800)
    assert line.set_section("s1", 500, True)
    assert line.residual_key_millibps("s1") == 0
    assert line.set_section("s1", 1000, False)  # an eavesdropper was noticed
    assert not line.set_section("s1", 1000, False)
    assert line.residual_key_millibps("s1") == 0
    assert line.reserved_key_millibps("s1") == 800


def test_a_site_takes_its_channels_down_and_up_again(line: Network) -> None:
    assert line.set_channel_up("x", False)
    assert not line.set_channel_up("x", False)
    assert line.set_site_up("b", False)
    assert not line.is_channel_up("y")
    assert line.set_site_up("b", True)
    assert line.is_channel_up("y")
    assert not line.is_channel_up("x")  # it was down by itself


def test_a_copy_goes_its_own_way(line: Network) -> None:
    line.reserve("c", route("x"), 10_000, 0)
    twin = line.copy()
    twin.release("c")
    twin.set_site_up("a", False)
    twin.reserve_compute("s", {"b": Compute(1, 1)})
    assert line.reserved_kbps("x") == 10_000
    assert line.is_channel_up("x")
    assert line.free_compute("b") == (4, 4)
    line.release("c")
    assert twin.reserved_kbps("x") == 0


def test_compute_is_taken_and_given_back(line: Network) -> None:
    line.reserve_compute("s", {"b": Compute(3, 1)})
    assert line.free_compute("b") == (1, 3)
    for vcpus, memory_gb, element in ((2, 0, "b vcpus"), (0, 4, "b memory_gb")):
        with pytest.raises(OverCommitted) as refused:
            line.reserve_compute("t", {"a": Compute(), "b": Compute(vcpus, memory_gb)})
        assert refused.value.element == element
    with pytest.raises(AlreadyReserved):
        line.reserve_compute("s", {})
    line.release_compute("s")
    assert line.free_compute("b") == (4, 4)


@pytest.mark.parametrize(("bandwidth", "rate"), [(-1, 0), (0, -1)])
def test_negative_amounts_are_refused(line: Network, bandwidth: int, rate: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        line.reserve("c", route("x"), bandwidth, rate)


def test_unknown_elements_are_refused(line: Network) -> None:
    for act in (line.residual_kbps, line.is_channel_up, line.residual_key_millibps, line.free_compute):
        with pytest.raises(KeyError):
            act("nowhere")


def test_the_catalogue_loads() -> None:
    for name in ("ukqntel", "metro-ring"):
        built = Network(load(name))
        assert all(built.residual_kbps(c.id) == 100_000 for c in built.topology.channels)
