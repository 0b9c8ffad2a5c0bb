"""Which wavelengths have cards that seal, where, and that each port of theirs is at exactly one card."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from topologies.cards import LINE_MTU, CardPlan, sealing_cards
from topologies.catalog import CATALOG, load
from topologies.links import CHANNEL_MTU
from topologies.spec import EncryptionMode, SecurityClass, Topology, TopologyError

ETHERNET_AND_TAG_BYTES = 18
ESP_IN_UDP_BYTES = 20 + 8 + 8 + 8 + 2 + 3 + 16


@pytest.mark.parametrize("name", CATALOG)
def test_every_port_of_a_sealed_circuit_is_at_one_card_and_its_ends_at_both(name: str) -> None:
    topology = load(name)
    cards = sealing_cards(topology, EncryptionMode.CHANNEL)
    ports = Counter(client.interface for card in cards for client in card.clients)
    expected = {
        topology.port_of(end, channel.id).interface
        for channel in topology.channels
        if channel.security is not SecurityClass.NONE
        for end in channel.ends
    }
    assert set(ports) == expected
    assert set(ports.values()) <= {1}
    for a, b in zip(cards[::2], cards[1::2], strict=True):
        assert (a.wavelength, a.end, b.end) == (b.wavelength, "a", "b")
        assert (a.site, a.peer_site) == (b.peer_site, b.site) == topology.cards_of(a.wavelength)
        assert (a.peer, b.peer) == (b.address.ip, a.address.ip)
        assert a.address.network == b.address.network
        assert [(c.circuit, c.channel) for c in a.clients] == [(c.circuit, c.channel) for c in b.clients]
        assert a.key_source != "none"
    assert len({card.index for card in cards}) == len({card.address for card in cards}) == len(cards)


def test_hosts_alone_seal_without_cards() -> None:
    assert sealing_cards(load("ukqntel"), EncryptionMode.HOST) == ()


def test_keys_of_qkd_get_a_part_of_what_the_operator_adds() -> None:
    cards = sealing_cards(load("ukqntel"), EncryptionMode.CHANNEL, (SecurityClass.QRA,))
    assert {card.wavelength: card.key_source for card in cards} == {
        "ch2": "dh", "ch3": "qra", "ch4": "qkd+qra", "ch5": "qkd+qra",
    }  # fmt: skip


def test_the_line_carries_the_longest_frame_of_a_channel_sealed() -> None:
    assert LINE_MTU >= CHANNEL_MTU + ETHERNET_AND_TAG_BYTES + ESP_IN_UDP_BYTES


def without_encryptors(topology: Topology, wavelength: str) -> Topology:
    changed = tuple(replace(w, encryptor=False) if w.id == wavelength else w for w in topology.wavelengths)
    return replace(topology, wavelengths=changed)


def test_a_class_without_encryptor_is_for_hosts_to_seal() -> None:
    topology = without_encryptors(load("ukqntel"), "ch4")
    with pytest.raises(TopologyError, match=r"ch4.*no encryptor"):
        sealing_cards(topology, EncryptionMode.CHANNEL)
    assert "ch4" not in {card.wavelength for card in sealing_cards(topology, EncryptionMode.BOTH)}


def test_a_circuit_the_other_way_round_ends_where_the_card_stands() -> None:
    topology = load("ukqntel")
    first = topology.channels[-1]
    turned = replace(first, a=first.b, b=first.a)
    ends = (first.a, first.b)
    wavelengths = tuple(replace(w, ends=ends) if w.id == first.wavelength else w for w in topology.wavelengths)
    channels = tuple(turned if c.id == first.id else c for c in topology.channels)
    changed = replace(topology, wavelengths=wavelengths, channels=channels)
    (card,) = (
        card
        for card in sealing_cards(changed, EncryptionMode.BOTH)
        if (card.wavelength, card.end) == (first.wavelength, "a")
    )
    assert port_at(card, first.id) == changed.port_of(first.a, first.id).interface


def port_at(card: CardPlan, channel: str) -> str:
    return next(client.interface for client in card.clients if client.channel == channel)
