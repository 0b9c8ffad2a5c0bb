"""Trusted-node relay: what arrives, what it costs, which way it goes."""

from __future__ import annotations

import os
import uuid

import pytest

from kms.admission.key_rate_reservations import Applications, AppQos, AppStatus, QkdApp
from kms.admission.qkd_capacity import QkdSupply
from kms.errors import ExchangeError, NoRouteError, ShortOfKeyError
from kms.keys.key import QKD
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork, QkdSource
from kms.qkdnet.topology import crossing_directions
from kms.sources.qkd.post_processing.authentication import ONE_TIME_KEY_BYTES
from tests.support.filled_sections import fill, filled_section, resume, stop

KEY = bytes(range(32))
HOP_COST = len(KEY) + ONE_TIME_KEY_BYTES


def shared_fibre(count: int = 1_000) -> QkdNetwork:
    """As in ukqntel: every link runs over the same sections, which end in QKD rooms of their own names."""
    sections = {f"s{n}": filled_section(f"s{n}", f"n{n}", f"n{n + 1}", count) for n in range(1, 5)}
    every = tuple(sections)
    return QkdNetwork(sections, [Link("ab", "a", "b", every), Link("bc", "b", "c", every)])


def mesh() -> QkdNetwork:
    """a-b-d and a-c-d, one section per link, and a long way a-d of three sections."""
    ends = {"ab": ("a", "b"), "bd": ("b", "d"), "ac": ("a", "c"), "cd": ("c", "d")}
    links = [Link(name, a, b, (name,)) for name, (a, b) in ends.items()]
    ends |= {"l0": ("a", "x"), "l1": ("x", "y"), "l2": ("y", "d")}
    sections = {name: filled_section(name, a, b, 1_000) for name, (a, b) in ends.items()}
    return QkdNetwork(sections, [*links, Link("long", "a", "d", ("l0", "l1", "l2"))])


def stock(network: QkdNetwork) -> dict[str, int]:
    return {name: len(section.buffer) for name, section in network.sections.items()}


def carry(network: QkdNetwork, a: str, b: str) -> bytes:
    """KEY as it arrives over one relay, by any route."""
    return network.send([KEY], a, b)[0]


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("b", "a")])
def test_a_key_arrives_and_every_section_pays_once(a: str, b: str) -> None:
    network = shared_fibre()
    assert carry(network, a, b) == KEY
    assert set(stock(network).values()) == {1_000 - HOP_COST}


def test_a_section_crossed_twice_pays_twice() -> None:
    network = shared_fibre()
    assert carry(network, "a", "c") == KEY
    assert set(stock(network).values()) == {1_000 - 2 * HOP_COST}


def test_nothing_is_taken_unless_every_section_has_enough() -> None:
    network = shared_fibre(2 * HOP_COST - 1)  # enough for each link, not for both
    with pytest.raises(ShortOfKeyError):
        carry(network, "a", "c")
    assert set(stock(network).values()) == {2 * HOP_COST - 1}
    assert carry(network, "a", "b") == KEY


def test_many_keys_share_one_tag() -> None:
    network = shared_fibre()
    keys = QkdSource(network, os.urandom).agree("a", "b", 10, 256)
    assert all(k.at_a == k.at_b for k in keys)
    assert len({k.at_a for k in keys}) == 10
    assert set(stock(network).values()) == {1_000 - 320 - ONE_TIME_KEY_BYTES}


def test_ends_that_disagree_are_noticed_not_delivered() -> None:
    network = shared_fibre(0)
    for section in network.sections.values():
        fill(section, 500, bob_differs=True)
    with pytest.raises(ExchangeError, match="tag"):
        carry(network, "a", "b")


def test_no_pad_is_used_twice() -> None:
    network = shared_fibre()
    section = network.sections["s1"]
    first, _ = section.take(100)
    second, _ = section.take(100)
    assert first != second


def test_the_shortest_route_is_preferred_and_then_the_fullest() -> None:
    network = mesh()
    network.sections["bd"].take(500)
    assert [link.link_id for link in network.route("a", "d", 32)] == ["ac", "cd"]
    network.sections["cd"].take(600)
    assert [link.link_id for link in network.route("a", "d", 32)] == ["ab", "bd"]


def test_an_eavesdropped_section_is_routed_around_until_nothing_is_left() -> None:
    network = mesh()
    for name, expected in (("ab", ["ac", "cd"]), ("cd", ["long"])):
        stop(network.sections[name])
        assert [link.link_id for link in network.route("a", "d", 32)] == expected
    stop(network.sections["l1"])
    with pytest.raises(NoRouteError, match="l1"):
        carry(network, "a", "d")
    resume(network.sections["l1"])
    assert carry(network, "d", "a") == KEY


def test_a_stopped_section_makes_its_links_unusable() -> None:
    network = shared_fibre()
    stop(network.sections["s2"])
    for link in network.links:
        assert not network.is_link_usable(link)
        assert network.link_available_bits(link) == 0
        assert network.link_skr_bps(link) == 0
    with pytest.raises(NoRouteError, match="s2 stopped"):
        carry(network, "a", "b")
    assert set(stock(network).values()) == {1_000}


def test_who_is_short_of_key_has_the_sections_of_one_route_make_some_first() -> None:
    network = mesh()
    for section in network.sections.values():
        section.take(len(section.buffer))
    stop(network.sections["ab"])
    with pytest.raises(ShortOfKeyError):
        network.route("a", "d", len(KEY))
    assert {name for name, section in network.sections.items() if section.is_awaited} == {"ac", "cd"}
    fill(network.sections["ac"], 1_000)
    assert carry(network, "a", "c") == KEY


def test_the_reason_for_no_route_tells_waiting_from_hopeless() -> None:
    network = mesh()
    with pytest.raises(NoRouteError, match="no QKD links join"):
        network.route("a", "mars", 32)
    with pytest.raises(ShortOfKeyError):
        network.route("a", "d", 5_000)
    assert not network.are_joined("a", "mars")


def test_a_links_rate_is_that_of_its_slowest_section_per_crossing() -> None:
    sections = {"s": filled_section("s", "a", "b", 640)}
    once = Link("once", "a", "b", ("s",))
    back_and_forth = Link("twice", "a", "a2", ("s", "s"))
    network = QkdNetwork(sections, [once, back_and_forth])
    assert network.link_skr_bps(back_and_forth) == pytest.approx(network.link_skr_bps(once) / 2)
    assert network.link_available_bits(once) == 2 * network.link_available_bits(back_and_forth) == 5_120


@pytest.mark.parametrize(
    ("chain", "start", "end", "directions"),
    [
        ([("a", "b")], "a", "b", (True,)),
        ([("a", "b")], "b", "a", (False,)),
        ([("x", "y")], "a", "b", (True,)),
        ([("x", "y"), ("z", "y"), ("z", "w")], "a", "b", (True, False, True)),
        ([("y", "x"), ("y", "z")], "a", "b", (False, True)),
        ([("a", "b"), ("c", "d")], "a", "d", None),
        ([("h", "x"), ("h", "y"), ("h", "z")], "x", "z", None),
    ],
)
def test_directions_of_a_chain(
    chain: list[tuple[str, str]], start: str, end: str, directions: tuple[bool, ...] | None
) -> None:
    assert crossing_directions(chain, start, end) == directions


def test_reservations_follow_the_route_that_is_left() -> None:
    network, now = mesh(), [0.0]
    applications = Applications(QkdSupply(network, lambda: now[0]), {}, None)
    qos = AppQos(1.0, 2.0)
    app = QkdApp(uuid.uuid4(), "sae-a", ("sae-d",), QKD, ("a", "d"), qos)
    applications.admit(app, 0.0)
    network.sections["cd"].take(100)
    for stopped, expected in (("ac", {"ab", "bd"}), ("bd", {"l0", "l1", "l2"})):
        stop(network.sections[stopped])
        now[0] += 1.0
        assert set(applications.crossings(app)) == expected
        assert {s for s in network.sections if applications.expected_consumption_bps(s) > 0} == expected
        assert applications.status(app) is AppStatus.ON
    stop(network.sections["l2"])
    now[0] += 1.0
    assert applications.status(app) is AppStatus.DISCONNECTED
    assert applications.offer_bps(app) == 0
    resume(network.sections["bd"])
    now[0] += 1.0
    assert applications.status(app) is AppStatus.ON
    assert applications.offer_bps(app) > 1.0
