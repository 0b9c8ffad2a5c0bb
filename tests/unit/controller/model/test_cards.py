"""Which wavelengths are sealed in which mode, at what cost, and what a channel without a card is worth."""

from __future__ import annotations

from dataclasses import replace

from controller.model.cards import as_sealed, card_pairs, weakest
from topologies.catalog import ukqntel
from topologies.spec import EncryptionMode, SecurityClass, Topology

PLAIN = ("ch5",)


def with_plain_cards(topology: Topology, *wavelengths: str) -> Topology:
    return replace(
        topology,
        wavelengths=tuple(replace(w, encryptor=w.encryptor and w.id not in wavelengths) for w in topology.wavelengths),
    )


def test_every_wavelength_with_a_class_has_one_pair_of_cards_whatever_its_circuits() -> None:
    topology = ukqntel()
    pairs = card_pairs(topology, EncryptionMode.CHANNEL)
    assert [(p.wavelength, p.key_source) for p in pairs] == [
        ("ch2", "dh"), ("ch3", "qra"), ("ch4", "qkd"), ("ch5", "qkd"),
    ]  # fmt: skip
    assert card_pairs(topology, EncryptionMode.BOTH) == pairs
    assert card_pairs(topology, EncryptionMode.HOST) == ()
    for pair in pairs:
        assert (pair.a, pair.b) == tuple(sorted(topology.cards_of(pair.wavelength) or ()))


def test_only_keys_of_qkd_cost_a_rate_and_that_once() -> None:
    """256 bits every 3 s (paper 001, section 2)."""
    rates = {p.wavelength: p.key_rate_millibps for p in card_pairs(ukqntel(), EncryptionMode.CHANNEL)}
    assert rates == {"ch2": 0, "ch3": 0, "ch4": 85_333, "ch5": 85_333}


def test_a_channel_without_a_card_is_of_no_class_where_cards_alone_seal() -> None:
    topology = with_plain_cards(ukqntel(), *PLAIN)
    sealed = as_sealed(topology, EncryptionMode.CHANNEL)
    for channel in sealed.channels:
        was = topology.channel(channel.id).security
        assert channel.security is (SecurityClass.NONE if channel.wavelength in PLAIN else was)
    assert as_sealed(topology, EncryptionMode.BOTH) is topology  # hosts seal whatever goes over it
    assert as_sealed(topology, EncryptionMode.HOST) is topology
    assert {p.wavelength for p in card_pairs(topology, EncryptionMode.BOTH)} == {"ch2", "ch3", "ch4"}


def test_what_is_attached_has_somebody_elses_line_in_between() -> None:
    topology = ukqntel()
    ends = topology.channels[0].ends
    one = next(c for c in topology.channels if c.security is SecurityClass.QKD and c.ends == ends)
    attached = replace(
        topology,
        sites=tuple(replace(s, attach=f"eth-{s.name}" if s.name in ends else "") for s in topology.sites),
        channels=tuple(replace(c, attached=c is one) for c in topology.channels),
    )
    assert one.wavelength not in {p.wavelength for p in card_pairs(attached, EncryptionMode.CHANNEL)}
    assert as_sealed(attached, EncryptionMode.CHANNEL).channel(one.id).security is SecurityClass.NONE


def test_a_path_is_worth_its_weakest_channel() -> None:
    topology = ukqntel()
    by_class = {c.security: c.id for c in topology.channels}
    assert weakest(topology, [by_class[SecurityClass.QKD], by_class[SecurityClass.DH]]) is SecurityClass.DH
    assert weakest(topology, [by_class[SecurityClass.QKD]]) is SecurityClass.QKD
