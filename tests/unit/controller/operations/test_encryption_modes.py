"""A controller where cards seal: hosts put clear traffic on classed channels, and say so; keys are the wavelengths'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.tunnel_endpoint import endpoint_at
from controller.model.cards import as_sealed
from controller.model.events import Violation
from controller.model.key_rates import Holder, KeyBooking
from controller.model.request import SliceRequest
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.northbound.views.sealing import cards_view
from controller.northbound.views.slices import slice_view
from controller.operations.keys.key_reservations import wanted_bookings
from controller.policy import reroute_audit
from controller.state.network_state import NetworkState
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring
from topologies.spec import EncryptionMode, SecurityClass, Topology

BACKHAUL = "enterprise-app/compute-core"  # qkd
CARDS = {Holder.CARD}
RATE_MILLIBPS = 85_333


def bench_in(mode: EncryptionMode, path: Path) -> Bench:
    def make(topology: Topology) -> NetworkState:
        return NetworkState(topology, encryption=mode)

    return Bench(as_sealed(metro_ring(), mode), path / "db", make_model=make)


@pytest.fixture
def by_cards(tmp_path: Path) -> Bench:
    return bench_in(EncryptionMode.CHANNEL, tmp_path)


def accepted(bench: Bench, example: str, connections: dict[str, dict[str, Any]] | None = None) -> SliceRequest:
    return bench.slices.terms.accept(request_for(example, connections))


def view_of(bench: Bench, connection_id: str) -> dict[str, Any]:
    name = connection_id.partition("/")[0]
    views = slice_view(bench.model, bench.model.slice(name))["connections"]
    return next(view for view in views if view["id"] == connection_id)


def test_hosts_are_told_of_no_tunnel_and_paths_have_the_class_asked_for(by_cards: Bench) -> None:
    by_cards.slices.create(accepted(by_cards, "enterprise-app"))
    for connection in by_cards.model.connections.values():
        assert connection.state is ConnectionState.ACTIVE
        assert not connection.is_encrypted
        assert connection.route is not None
        level = connection.request.spec.security.level
        assert all(by_cards.topology.channel(c).security >= level for c in connection.route.channels)
        for site in (connection.request.src, connection.request.dst):
            end = endpoint_at(by_cards.topology, connection, site)
            assert (end.mode, end.key_source, end.local_address6) == ("clear", "none", None)
            assert by_cards.tunnels.told[site, connection.id] == end


def test_a_slice_costs_no_key_and_wavelengths_theirs_once(by_cards: Bench) -> None:
    network = by_cards.model.network

    def held() -> dict[str, int]:
        return {s.id: network.reserved_key_millibps(s.id) for s in by_cards.topology.sections}

    empty = held()
    assert sum(empty.values()) > 0
    by_cards.slices.create(accepted(by_cards, "enterprise-app"))
    assert held() == empty
    route = by_cards.model.connections[BACKHAUL].route
    assert route is not None
    assert route.key_links == ()


def test_the_kms_is_asked_for_cards_alone_and_in_both_modes_for_both(tmp_path: Path) -> None:
    for mode, holders in ((EncryptionMode.CHANNEL, CARDS), (EncryptionMode.BOTH, {Holder.CARD, Holder.HOST})):
        path = tmp_path / mode.value
        path.mkdir()
        bench = bench_in(mode, path)
        bench.slices.create(accepted(bench, "enterprise-app"))
        wanted = wanted_bookings(bench.model).values()
        assert {booking.holder for booking in wanted} == holders
        by_ends: dict[tuple[str, str], int] = {}
        for pair in bench.model.cards:
            if pair.key_rate_millibps:
                by_ends[pair.a, pair.b] = by_ends.get((pair.a, pair.b), 0) + 1
        cards = {(b.a, b.b): b.rate_bps for b in wanted if b.holder is Holder.CARD}
        assert cards == {ends: 86 * number for ends, number in by_ends.items()}
        bench.maintenance.poll_keys()
        assert {b.holder for b in bench.key_rates.booked.values()} == holders


def test_hosts_and_cards_of_the_same_sites_book_apart() -> None:
    host, card = (KeyBooking("a", "b", "qkd", 5, 0, holder) for holder in (Holder.HOST, Holder.CARD))
    assert host.id != card.id
    assert (Holder.HOST.sae_at("a"), Holder.CARD.sae_at("a")) == ("sae-a", "card-a")
    for holder in Holder:
        assert Holder.of(holder.sae_at("metro1")) == (holder, "metro1")


def test_what_is_shown_is_who_seals_where(by_cards: Bench) -> None:
    by_cards.slices.create(accepted(by_cards, "enterprise-app"))
    view = view_of(by_cards, BACKHAUL)
    assert view["sealed_by"] == "channel"
    assert (view["level"], view["key_source"]) == ("qkd", "qkd")
    assert (view["suite"], view["tunnel"], view["rekey_s"]) == (None, None, None)
    assert [hop["channel"] for hop in view["hops"]] == view["path"]
    assert {(hop["sealed"], hop["class"], hop["key_source"]) for hop in view["hops"]} == {(True, "qkd", "qkd")}
    cards = {card["wavelength"]: card for card in cards_view(by_cards.model)}
    assert {hop["wavelength"] for hop in view["hops"]} <= cards.keys()
    assert all(card["is_supplied"] and card["rekey_s"] == 3.0 for card in cards.values())


def test_an_unencrypted_connection_over_qkd_has_what_its_weakest_channel_gives(by_cards: Bench) -> None:
    qkd = sorted(c.id for c in by_cards.topology.channels if c.security is not SecurityClass.NONE)
    others = sorted(c.id for c in by_cards.topology.channels if c.security is SecurityClass.NONE)
    assert qkd
    clear = {"security": "none", "fallback": [], "exclude_channels": others}
    by_cards.slices.create(accepted(by_cards, "enterprise-app", {"backhaul": clear}))
    view = view_of(by_cards, BACKHAUL)
    classes = [SecurityClass.parse(hop["class"]) for hop in view["hops"]]
    assert view["required"] == "none"
    assert view["sealed_by"] == "channel"
    assert view["level"] == min(classes).label != "none"


def test_who_is_sealed_by_hosts_alone_or_by_nobody(tmp_path: Path) -> None:
    bench = bench_in(EncryptionMode.HOST, tmp_path)
    bench.slices.create(accepted(bench, "enterprise-app"))
    assert view_of(bench, BACKHAUL)["sealed_by"] == "host"
    assert {hop["sealed"] for hop in view_of(bench, BACKHAUL)["hops"]} == {False}
    assert cards_view(bench.model) == []
    bench.slices.create(accepted(bench, "cdn"))
    clear = [c.id for c in bench.model.connections.values() if not c.request.spec.security.is_encrypted]
    assert clear
    assert {view_of(bench, i)["sealed_by"] for i in clear} == {None}


def test_both_seal(tmp_path: Path) -> None:
    bench = bench_in(EncryptionMode.BOTH, tmp_path)
    bench.slices.create(accepted(bench, "enterprise-app"))
    view = view_of(bench, BACKHAUL)
    assert (view["sealed_by"], view["key_source"], view["suite"]) == ("both", "qkd", "aes-256-gcm")
    assert endpoint_at(bench.topology, bench.model.connections[BACKHAUL], "core1").mode == "esp"


def violations(bench: Bench) -> list[Violation]:
    follower = bench.events.follow(0)
    found = []
    while (event := follower.next(0)) is not None:
        if isinstance(event.what, Violation):
            found.append(event.what)
    bench.events.unfollow(follower)
    return found


def test_a_wavelength_that_goes_dark_is_gone_round_at_the_class_asked_for(by_cards: Bench) -> None:
    """What a card without a key does: its clients lose their carrier."""
    by_cards.slices.create(accepted(by_cards, "enterprise-app"))
    before = by_cards.model.connections[BACKHAUL]
    assert before.route is not None
    lost = by_cards.topology.channel(before.route.channels[0]).wavelength
    by_cards.maintenance.channels_changed({c.id: False for c in by_cards.topology.channels if c.wavelength == lost})
    after = by_cards.model.connections[BACKHAUL]
    assert after.state is ConnectionState.ACTIVE
    assert after.route is not None
    assert {by_cards.topology.channel(c).security for c in after.route.channels} == {SecurityClass.QKD}
    reroute = after.reroutes[-1]
    assert reroute.key_source == "qkd"
    assert reroute_audit.check(by_cards.topology, reroute_audit.Asked.of(after.request), reroute) == ()
    assert violations(by_cards) == []


def test_a_fallback_is_another_class_of_channels(by_cards: Bench) -> None:
    by_cards.slices.create(accepted(by_cards, "enterprise-app", {"backhaul": {"fallback": ["qra", "dh"]}}))
    gone = {c.id: False for c in by_cards.topology.channels if c.security is SecurityClass.QKD}
    by_cards.maintenance.channels_changed(gone)
    view = view_of(by_cards, BACKHAUL)
    assert (view["state"], view["is_on_fallback"], view["required"]) == ("ACTIVE", True, "qkd")
    assert SecurityClass.parse(view["level"]) is min(SecurityClass.parse(hop["class"]) for hop in view["hops"])
    assert view["sealed_by"] == "channel"
    by_cards.maintenance.channels_changed(dict.fromkeys(gone, True))
    by_cards.maintenance.poll_keys()
    assert violations(by_cards) == []


def test_an_audit_does_not_believe_a_record_of_better_keys_than_the_weakest_channel_has(by_cards: Bench) -> None:
    by_cards.slices.create(accepted(by_cards, "enterprise-app"))
    after = by_cards.model.connections[BACKHAUL]
    asked = reroute_audit.Asked.of(after.request)
    noted = reroute_audit.note(by_cards.topology, after, after, 0.0, Cause.FAILURE)
    assert reroute_audit.check(by_cards.topology, asked, noted) == ()
    boast = replace(noted, key_source="qra")
    assert reroute_audit.check(by_cards.topology, asked, boast)


def test_the_next_process_goes_by_its_own_mode(tmp_path: Path) -> None:
    """What the journal says of how it was carried out is that process' own matter."""
    by_hosts = bench_in(EncryptionMode.HOST, tmp_path)
    by_hosts.slices.create(accepted(by_hosts, "enterprise-app"))
    assert by_hosts.model.connections[BACKHAUL].is_encrypted
    by_hosts.store.close()
    by_cards = bench_in(EncryptionMode.CHANNEL, tmp_path)
    by_cards.maintenance.load()
    assert not by_cards.model.connections[BACKHAUL].is_encrypted
    assert by_cards.model.slice("enterprise-app").request == by_cards.slices.terms.accept(request_for("enterprise-app"))
