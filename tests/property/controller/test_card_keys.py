"""Whatever becomes of sections: cards hold what their relays cost and no more than there is, and none lacks one that
there is room for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.cards import CardPair, card_pairs
from controller.model.key_rates import RATE_TOLERANCE
from controller.model.path import Route
from controller.pce.key_relay import KeyQuery, fewest_crossings
from controller.pce.network import Network
from controller.state.card_keys import CardKeys
from topologies.catalog import metro_ring
from topologies.spec import EncryptionMode

TOPOLOGY = metro_ring()
SECTIONS = tuple(s.id for s in TOPOLOGY.sections)
PAIRS = tuple(p for p in card_pairs(TOPOLOGY, EncryptionMode.BOTH) if p.key_rate_millibps)
RATE = PAIRS[0].key_rate_millibps
RATES = st.sampled_from((0, RATE // 2, RATE, 2 * RATE, 100 * RATE))
LOOKS = st.lists(
    st.tuples(
        st.lists(RATES, min_size=len(SECTIONS), max_size=len(SECTIONS)),
        st.sets(st.sampled_from(SECTIONS), max_size=4),  # of those nobody knows the rate
        st.sets(st.sampled_from(TOPOLOGY.site_names), max_size=1),  # down
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(LOOKS)
def test_cards_hold_what_their_relays_cost(looks: list[tuple[list[int], set[str], set[str]]]) -> None:
    cards, network, others = CardKeys(Network(TOPOLOGY), PAIRS), Network(TOPOLOGY), 7
    network.set_unknown_sections(())
    for section in SECTIONS:
        network.reserve(f"a/{section}", Route((), (), 0, 0, (), ((section, 1),)), 0, others, is_kept=True)
    for rates, unknown, down in looks:
        for section, rate in zip(SECTIONS, rates, strict=True):
            network.set_section(section, rate, rate > 0)
        network.set_unknown_sections(unknown)
        for site in TOPOLOGY.site_names:
            network.set_site_up(site, site not in down)
        before = dict(cards.routes)
        cards.review(network)
        held = dict.fromkeys(SECTIONS, 0)
        for route in cards.routes.values():
            for section, times in route.key_sections:
                held[section] += times * RATE
        for section, amount in held.items():
            assert network.reserved_key_millibps(section) == others + amount
            if amount and section not in unknown:
                assert amount <= RATE_TOLERANCE * network.key_rate_millibps(section)
        for pair in PAIRS:
            if pair.wavelength not in cards.routes:
                assert not has_relay(network, held, pair)
            elif pair.wavelength in before and pays(network, before[pair.wavelength], unknown, before):
                assert cards.routes[pair.wavelength] == before[pair.wavelength]


def has_relay(network: Network, held: dict[str, int], pair: CardPair) -> bool:
    """Whether a relay has the rate beside what other cards hold, as an empty network would find it."""
    trial = Network(TOPOLOGY)
    for section in SECTIONS:
        left = network.key_rate_millibps(section) - held[section]
        trial.set_section(section, max(0, left), network.is_section_usable(section) and left >= 0)
    for site in TOPOLOGY.site_names:
        trial.set_site_up(site, network.is_site_up(site))
    number = trial.index.site_number
    if not (network.is_site_up(pair.a) and network.is_site_up(pair.b)):
        return False
    return fewest_crossings(trial, KeyQuery(number[pair.a], number[pair.b], pair.key_rate_millibps)) is not None


def pays(network: Network, route: Route, unknown: set[str], before: dict[str, Route]) -> bool:
    """Whether every section of a relay gives what all cards together held there, or nobody knows."""
    held = dict.fromkeys(SECTIONS, 0)
    for other in before.values():
        for section, times in other.key_sections:
            held[section] += times * RATE
    return all(
        section in unknown or held[section] <= network.key_rate_millibps(section) for section, _ in route.key_sections
    )
