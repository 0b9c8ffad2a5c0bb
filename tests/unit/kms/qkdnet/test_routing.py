"""Which way keys go over a mesh: weighed by rate and fill, several ways apart, against all ways tried one by one."""

from __future__ import annotations

import itertools
import os
import random
import uuid
from collections import Counter

import pytest

from kms.admission.key_rate_reservations import AdmissionError, Applications, AppQos, AppStatus, QkdApp
from kms.admission.qkd_capacity import QkdSupply
from kms.distributed.message_shares import WAIT_S, Share, ShareCollector
from kms.errors import ExchangeError, NoRouteError, SectionStoppedError, ShortOfKeyError
from kms.keys.key import QKD, RelayKind, RoutingConstraint
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import HORIZON_S, QkdNetwork, QkdSource, combine_shares, split_shares
from kms.sources.qkd.modes import StopReason
from kms.sources.qkd.post_processing.authentication import ONE_TIME_KEY_BYTES
from kms.sources.qkd.section import SectionState
from tests.support.filled_sections import fill, filled_section, resume, stop

SITES = ("a", "b", "c", "d", "e", "f")


def network(ends: dict[str, tuple[str, str]], fill_bytes: int = 20_000) -> QkdNetwork:
    """A link for every section."""
    sections = {name: filled_section(name, a, b, fill_bytes) for name, (a, b) in ends.items()}
    return QkdNetwork(sections, [Link(name, a, b, (name,)) for name, (a, b) in ends.items()])


def ladder() -> QkdNetwork:
    """a - b - d, a - c - d, and b - c between them."""
    return network({"ab": ("a", "b"), "bd": ("b", "d"), "ac": ("a", "c"), "cd": ("c", "d"), "bc": ("b", "c")})


def names(chain: tuple[Link, ...]) -> list[str]:
    return [link.link_id for link in chain]


def test_a_detour_over_rich_sections_is_taken_before_a_poor_one_is_drained() -> None:
    mesh = network({"ad": ("a", "d"), "ab": ("a", "b"), "bd": ("b", "d")}, 0)
    for name, count in (("ad", 10_000), ("ab", 1 << 20), ("bd", 1 << 20)):
        fill(mesh.sections[name], count)
    rate = mesh.sections["ad"].skr_bps
    assert 80_000 + HORIZON_S * rate < (8 * (1 << 20) + HORIZON_S * rate) / 2  # what the weights say of it
    assert names(mesh.route("a", "d", 32)) == ["ab", "bd"]
    assert names(mesh.route("a", "d", 32, RoutingConstraint(RelayKind.DIRECT))) == ["ad"]
    fill(mesh.sections["ad"], 1 << 20)
    assert names(mesh.route("a", "d", 32)) == ["ad"]


def test_a_mesh_is_used_evenly() -> None:
    mesh = ladder()
    source = QkdSource(mesh, os.urandom)
    for _ in range(200):
        source.agree("a", "d", 1, 256)
    left = [len(mesh.sections[name].buffer) for name in ("ab", "bd", "ac", "cd")]
    assert max(left) - min(left) <= 64
    assert len(mesh.sections["bc"].buffer) == 20_000


def test_links_that_share_a_section_are_gone_round_when_it_cannot_bear_both() -> None:
    sections = {"shared": filled_section("shared", "x", "y", 100), "detour": filled_section("detour", "b", "c", 70)}
    links = [Link("ab", "a", "b", ("shared",)), Link("bc", "b", "c", ("shared",)), Link("round", "b", "c", ("detour",))]
    mesh = QkdNetwork(sections, links)
    # The detour is poorer, but the shared section has key for one crossing only.
    message = 64 - ONE_TIME_KEY_BYTES
    assert names(mesh.route("a", "c", message)) == ["ab", "round"]
    key = os.urandom(message)
    assert mesh.send([key], "a", "c") == (key, 2)


def simple_ways(mesh: QkdNetwork, a: str, b: str) -> list[tuple[Link, ...]]:
    found: list[tuple[Link, ...]] = []

    def extend(site: str, seen: tuple[str, ...], way: tuple[Link, ...]) -> None:
        if site == b:
            found.append(way)
            return
        for link in mesh.links:
            if site in (link.a, link.b) and link.other_end(site) not in seen:
                extend(link.other_end(site), (*seen, link.other_end(site)), (*way, link))

    extend(a, (a,), ())
    return found


def price(mesh: QkdNetwork, way: tuple[Link, ...]) -> float:
    sections = [mesh.sections[name] for link in way for name in link.sections]
    return sum(1e6 / (s.available_bits + HORIZON_S * s.skr_bps + 1) for s in sections)


def inner_sites(way: tuple[Link, ...]) -> set[str]:
    return {site for link in way for site in (link.a, link.b)} - {"a", "f"}


@pytest.mark.parametrize("seed", range(60))
def test_routes_and_sets_of_routes_apart_are_the_cheapest_that_there_are(seed: int) -> None:
    drawn = random.Random(seed)
    ends = {x + y: (x, y) for x, y in itertools.combinations(SITES, 2) if drawn.random() < 0.5}
    mesh = network(ends, 0)
    for section in mesh.sections.values():
        fill(section, drawn.choice((0, 500, 5_000, 500_000)))
    ways = [w for w in simple_ways(mesh, "a", "f") if min(mesh.link_available_bits(link) for link in w) >= 512]
    for count in (1, 2, 3):
        sets = [
            each
            for each in itertools.combinations(ways, count)
            if all(
                not inner_sites(x) & inner_sites(y) and not set(x) & set(y) for x, y in itertools.combinations(each, 2)
            )
        ]
        if not sets:
            with pytest.raises((NoRouteError, ShortOfKeyError)):
                mesh.routes("a", "f", 32, RoutingConstraint(disjoint_relays=count))
            continue
        found = mesh.routes("a", "f", 32, RoutingConstraint(disjoint_relays=count))
        assert len(found) == count
        least = min(sum(price(mesh, way) for way in each) for each in sets)
        assert sum(price(mesh, way) for way in found) == pytest.approx(least)
        assert all(not inner_sites(x) & inner_sites(y) for x, y in itertools.combinations(found, 2))


def test_two_relays_share_no_trusted_node_and_each_pays() -> None:
    mesh = ladder()
    (key,) = QkdSource(mesh, os.urandom).agree("a", "d", 1, 256, RoutingConstraint(disjoint_relays=2))
    assert key.at_a == key.at_b
    assert (key.crossings, key.relays) == (4, 2)
    assert {name: len(section.buffer) for name, section in mesh.sections.items()} == {
        "ab": 19_936, "bd": 19_936, "ac": 19_936, "cd": 19_936, "bc": 20_000,
    }  # fmt: skip


def test_the_trap_where_the_cheapest_way_stands_in_the_way_of_two() -> None:
    mesh = network({"ab": ("a", "b"), "bd": ("b", "d"), "ac": ("a", "c"), "cd": ("c", "d"), "bc": ("b", "c")}, 500)
    for name in ("ab", "bc", "cd"):
        fill(mesh.sections[name], 1 << 19)  # a - b - c - d is cheapest, and leaves no other way
    found = mesh.routes("a", "d", 32, RoutingConstraint(disjoint_relays=2))
    assert sorted(map(names, found)) == [["ab", "bd"], ["ac", "cd"]]


def test_rooms_of_one_site_and_shared_fibres_are_not_apart() -> None:
    """Two links over different sites, but through one trusted node: whoever holds it sees both parts."""
    ends = {"s1": ("a", "hut"), "s2": ("hut", "b"), "s3": ("a", "cellar"), "s4": ("cellar", "b")}
    sections = {name: filled_section(name, *nodes, 1_000) for name, nodes in ends.items()}
    links = [Link("one", "a", "b", ("s1", "s2")), Link("two", "a", "b", ("s3", "s4"))]
    assert len(QkdNetwork(sections, links).routes("a", "b", 32, RoutingConstraint(disjoint_relays=2))) == 2
    mesh = QkdNetwork(sections, links, {"hut": "here", "cellar": "here"})
    with pytest.raises(NoRouteError, match="2 disjoint relays"):
        mesh.routes("a", "b", 32, RoutingConstraint(disjoint_relays=2))
    assert not mesh.are_joined("a", "b", RoutingConstraint(disjoint_relays=2))
    assert mesh.are_joined("a", "b")


def test_why_there_are_no_relays_apart() -> None:
    mesh = ladder()
    stop(mesh.sections["cd"])
    with pytest.raises(NoRouteError, match="2 disjoint relays: section cd stopped"):
        mesh.routes("a", "d", 32, RoutingConstraint(disjoint_relays=2))
    resume(mesh.sections["cd"])
    mesh.sections["cd"].take(20_000)
    with pytest.raises(ShortOfKeyError):
        mesh.routes("a", "d", 32, RoutingConstraint(disjoint_relays=2))
    with pytest.raises(NoRouteError, match="no QKD links join a and d by 3 disjoint relays"):
        mesh.routes("a", "d", 32, RoutingConstraint(disjoint_relays=3))


def test_fewer_parts_than_all_say_nothing() -> None:
    message = bytes(2)  # with a whole alphabet of random parts each single part takes every value equally often
    seen = [Counter[int](), Counter[int]()]
    for first in range(256):
        parts = split_shares(message[:1], 2, lambda count, first=first: bytes([first]) * count)  # type: ignore[misc]
        assert combine_shares(parts) == message[:1]
        for counter, part in zip(seen, parts, strict=True):
            counter[part[0]] += 1
    assert all(set(counter.values()) == {1} and len(counter) == 256 for counter in seen)
    assert split_shares(b"key", 1, os.urandom) == [b"key"]


class TestPartsArriving:
    def setup_method(self) -> None:
        self.now = 0.0
        self.parts = ShareCollector(lambda: self.now)

    def test_all_of_them_in_order_whatever_the_order_of_coming(self) -> None:
        assert self.parts.add(("a", "m"), 3, 2, Share(b"z", 1)) is None
        assert self.parts.add(("a", "m"), 3, 0, Share(b"x", 2)) is None
        found = self.parts.add(("a", "m"), 3, 1, Share(b"y", 3))
        assert found is not None
        assert [part.message for part in found] == [b"x", b"y", b"z"]
        assert len(self.parts) == 0

    def test_what_does_not_belong_together_is_refused(self) -> None:
        self.parts.add(("a", "m"), 2, 0, Share(b"x", 1))
        for count, number, message in ((2, 0, b"y"), (3, 1, b"y"), (2, 1, b"longer")):
            with pytest.raises(ExchangeError):
                self.parts.add(("a", "m"), count, number, Share(message, 1))
        assert self.parts.add(("b", "m"), 2, 1, Share(b"y", 1)) is None  # of another sender

    def test_what_never_gets_complete_goes(self) -> None:
        self.parts.add(("a", "m"), 2, 0, Share(b"x", 1))
        self.now = WAIT_S + 1
        self.parts.add(("a", "n"), 2, 0, Share(b"x", 1))
        assert len(self.parts) == 1

    def test_parts_do_not_show(self) -> None:
        assert "secret" not in repr(Share(b"secret", 1))


class TestReservations:
    def setup_method(self) -> None:
        self.mesh = ladder()
        self.now = 0.0
        self.applications = Applications(QkdSupply(self.mesh, lambda: self.now), {}, None)
        self.rate = self.mesh.sections["ab"].skr_bps / 2  # a section bears one such application: each bit has a tag

    def app(self, share: float, priority: int = 1, relays: int = 1) -> QkdApp:
        qos = AppQos(share * self.rate, 2 * self.rate)
        return QkdApp(
            uuid.uuid4(), "sae-a", ("sae-d",), QKD, ("a", "d"), qos, priority, RoutingConstraint(disjoint_relays=relays)
        )

    def crossed(self, app: QkdApp) -> list[str]:
        self.now += 1.0
        return list(self.applications.crossings(app))

    def test_the_second_takes_the_way_that_is_free_and_the_third_is_offered_what_is_left(self) -> None:
        first, second = self.app(0.7), self.app(0.6)
        for app in (first, second):
            self.applications.admit(app, 0.0)
        assert sorted([self.crossed(first), self.crossed(second)]) == [["ab", "bd"], ["ac", "cd"]]
        with pytest.raises(AdmissionError) as caught:
            self.applications.admit(self.app(0.5), 0.0)
        assert 0.25 * self.rate < caught.value.offer_bps <= 0.4 * self.rate
        self.applications.admit(self.app(0.4), 0.0)

    def test_a_cut_moves_both_onto_what_is_left_and_says_that_it_is_too_little(self) -> None:
        first, second = self.app(0.7, priority=9), self.app(0.6)
        for app in (first, second):
            self.applications.admit(app, 0.0)
        self.mesh.sections["ab"].cut()
        assert self.crossed(first) == self.crossed(second) == ["ac", "cd"]
        assert self.applications.status(first) is AppStatus.OUT_OF_TIME
        self.mesh.sections["ac"].cut()
        assert self.crossed(first) == []
        assert self.applications.status(first) is AppStatus.DISCONNECTED

    def test_disjoint_relays_are_reserved_on_each(self) -> None:
        both = self.app(0.5, relays=2)
        self.applications.admit(both, 0.0)
        assert set(self.crossed(both)) == {"ab", "bd", "ac", "cd"}
        assert self.applications.expected_consumption_bps("ab") == pytest.approx(self.rate)
        self.mesh.sections["cd"].cut()
        self.now += 1.0
        assert self.applications.status(both) is AppStatus.DISCONNECTED


def test_a_section_that_is_cut_gives_nothing_until_it_is_mended_and_judged_anew() -> None:
    section = filled_section("s", "a", "b", 1_000)
    section.cut()
    assert (section.state, section.stop_reason, section.skr_bps) == (SectionState.STOPPED, StopReason.NO_LIGHT, 0.0)
    fill(section, 1_000)  # what was under way
    assert len(section.buffer) == 1_000
    with pytest.raises(SectionStoppedError):
        section.take(1)
    section.mend()
    assert section.state is SectionState.STARTING
    resume(section)
    assert section.is_usable
    assert section.available_bits == 8_000
    section.mend()
    assert section.is_usable
