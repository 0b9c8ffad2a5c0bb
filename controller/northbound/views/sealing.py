"""Who seals a connection's traffic, and where: its hosts, the cards of the wavelengths on its path, or both. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.model.cards import CardPair, card_keys_of, weakest
from controller.model.connection import Connection
from controller.northbound.views.schema_terms import AMOUNT, FLAG, LEVEL, TEXT, TEXTS, list_of, object_of, or_null
from controller.state.network_state import NetworkState
from topologies.spec import EncryptionMode, SecurityClass, Topology

Cards = Mapping[str, CardPair]  # by wavelength

SEALING_MEMBERS: dict[str, Any] = {
    "sealed_by": {
        "enum": [*(mode.value for mode in EncryptionMode), None],
        "description": "Of the whole working path. Null: some line carries it in the clear; `hops` says which.",
    },
    "hops": list_of(
        object_of({"channel": TEXT, "wavelength": TEXT, "class": LEVEL, "sealed": FLAG, "key_source": or_null(TEXT)})
    ),
}
CARD_SCHEMA = object_of(
    {
        "wavelength": TEXT, "a": TEXT, "b": TEXT, "class": LEVEL, "key_source": TEXT, "rekey_s": AMOUNT,
        "key_rate_bps": AMOUNT, "key_links": TEXTS, "is_supplied": FLAG,
    }
)  # fmt: skip


def cards_of(model: NetworkState) -> Cards:
    return {pair.wavelength: pair for pair in model.cards}


def sealing_view(topology: Topology, cards: Cards, connection: Connection) -> dict[str, Any]:
    """``sealed_by`` and, in the path's order, whether the cards of each channel's wavelength seal, and with what."""
    channels = () if connection.route is None else connection.route.channels
    hops = []
    for channel in map(topology.channel, channels):
        pair = cards.get(channel.wavelength)
        hops.append(
            {
                "channel": channel.id,
                "wavelength": channel.wavelength,
                "class": channel.security.label,
                "sealed": pair is not None,
                "key_source": None if pair is None else pair.key_source,
            }
        )
    by_cards = bool(hops) and all(hop["sealed"] for hop in hops)
    return {"sealed_by": _sealed_by(connection.is_encrypted, by_cards), "hops": hops}


def level_of(topology: Topology, connection: Connection) -> tuple[SecurityClass, str]:
    """The level that a connection has, and where its keys come from.

    Those of its tunnel; where cards alone seal, the class of the weakest channel that it crosses now.
    """
    spec = connection.in_force
    if spec.hosts_seal or connection.route is None:
        return spec.security.level, spec.security.key_source
    level = weakest(topology, connection.route.channels)
    return level, card_keys_of(level, spec.security.always)


def cards_view(model: NetworkState) -> list[dict[str, Any]]:
    """The pairs of cards that seal, what they take of QKD keys and over which links.

    ``is_supplied`` is false where no relay is known to have the rate: keys in store serve on, and then none.
    """
    views = []
    for pair in model.cards:
        relay = model.card_relays.get(pair.wavelength)
        views.append(
            {
                "wavelength": pair.wavelength,
                "a": pair.a,
                "b": pair.b,
                "class": pair.security.label,
                "key_source": pair.key_source,
                "rekey_s": pair.rekey_s,
                "key_rate_bps": pair.key_rate_millibps / 1000,
                "key_links": [] if relay is None else list(relay.key_links),
                "is_supplied": relay is not None or not pair.key_rate_millibps,
            }
        )
    return views


def _sealed_by(by_hosts: bool, by_cards: bool) -> str | None:
    mode = EncryptionMode.CHANNEL if by_cards else None
    if by_hosts:
        mode = EncryptionMode.BOTH if by_cards else EncryptionMode.HOST
    return None if mode is None else str(mode.value)
