"""Cards hold their key rate once, before connections, over a relay that is kept as long as it serves."""

from __future__ import annotations

from controller.model.cards import card_pairs
from controller.model.path import Route
from controller.pce.network import Network
from controller.state.card_keys import CardKeys
from controller.state.network_state import NetworkState
from topologies.catalog import metro_ring
from topologies.spec import EncryptionMode, Topology

RATE = 85_333  # millibit/s: 256 bits every 3 s
PLENTY = 10_000_000


def state(topology: Topology, mode: EncryptionMode = EncryptionMode.BOTH, rate: int = PLENTY) -> NetworkState:
    model = NetworkState(topology, encryption=mode)
    tell(model, dict.fromkeys((s.id for s in topology.sections), rate))
    return model


def tell(model: NetworkState, rates: dict[str, int]) -> None:
    for section, rate in rates.items():
        model.observe_section(section, rate, is_usable=rate > 0)
    model.review_card_keys()


def reserved(model: NetworkState) -> dict[str, int]:
    network = model.network
    return {s.id: held for s in model.topology.sections if (held := network.reserved_key_millibps(s.id))}


def expected(model: NetworkState) -> dict[str, int]:
    found: dict[str, int] = {}
    for route in model.card_relays.values():
        for section, times in route.key_sections:
            found[section] = found.get(section, 0) + times * RATE
    return found


def test_each_wavelength_of_qkd_holds_one_rate_and_looking_again_changes_nothing() -> None:
    model = state(metro_ring())
    wanted = {pair.wavelength for pair in model.cards if pair.key_rate_millibps}
    assert wanted
    assert model.card_relays.keys() == wanted
    before = reserved(model)
    assert before == expected(model)
    model.review_card_keys()
    assert reserved(model) == before


def test_hosts_alone_leave_sections_to_connections() -> None:
    assert reserved(state(metro_ring(), EncryptionMode.HOST)) == {}


def test_before_rates_are_known_nothing_is_held() -> None:
    model = NetworkState(metro_ring(), encryption=EncryptionMode.CHANNEL)
    model.review_card_keys()
    assert model.card_relays == {}
    assert reserved(model) == {}


def test_a_relay_whose_section_stops_is_left_and_the_others_stay() -> None:
    model = state(metro_ring())
    before = dict(model.card_relays)
    stopped = next(iter(before.values())).key_sections[0][0]
    tell(model, {stopped: 0})
    for wavelength, route in before.items():
        now = model.card_relays.get(wavelength)
        if stopped in dict(route.key_sections):
            assert now is None or stopped not in dict(now.key_sections)
        else:
            assert now == route
    assert stopped not in reserved(model)
    assert reserved(model) == expected(model)


def test_a_rate_that_is_unknown_is_no_loss() -> None:
    model = state(metro_ring())
    before = dict(model.card_relays)
    model.set_unknown_sections(s.id for s in model.topology.sections)
    model.review_card_keys()
    assert dict(model.card_relays) == before


def test_where_not_all_fit_the_first_have_it_and_nobody_else() -> None:
    model = state(metro_ring(), rate=RATE)
    assert model.card_relays
    assert all(held <= RATE for held in reserved(model).values())
    missing = {p.wavelength for p in model.cards if p.key_rate_millibps} - model.card_relays.keys()
    tell(model, dict.fromkeys((s.id for s in model.topology.sections), PLENTY))
    assert missing <= model.card_relays.keys()


def test_cards_come_before_connections() -> None:
    """A connection holds all there is; then cards are told of the section, and have theirs all the same."""
    topology = metro_ring()
    network, cards = Network(topology), CardKeys(Network(topology), card_pairs(topology, EncryptionMode.BOTH))
    for section in network.index.section_ids:
        network.set_section(section, 2 * RATE, usable=True)
        network.reserve(f"a/{section}", Route((), (), 0, 0, (), ((section, 1),)), 0, 2 * RATE)
    cards.review(network)
    held = dict.fromkeys(network.index.section_ids, 0)
    for route in cards.routes.values():
        for section, times in route.key_sections:
            held[section] += times * RATE
    assert any(held.values())
    assert {s: network.reserved_key_millibps(s) for s in held} == {s: 2 * RATE + held[s] for s in held}


def test_a_fork_looks_at_its_own() -> None:
    model = state(metro_ring())
    before = dict(model.card_relays), reserved(model)
    fork = model.fork()
    tell(fork, dict.fromkeys((s.id for s in model.topology.sections), 0))
    assert fork.card_relays == {}
    assert (dict(model.card_relays), reserved(model)) == before
