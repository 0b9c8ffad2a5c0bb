"""The shelves of a run's cards: which sites have one, and their configuration files."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scripts.configuration.components import agent_part
from scripts.configuration.values import Configuration
from scripts.testbed.clients import Northbound
from scripts.testbed.life.vendors import agents_vendors
from scripts.testbed.paths import Layout
from topologies.cards import LINE_NODES, CardPlan
from topologies.spec import CARD_REKEY_S, KME_PORT, Topology

log = logging.getLogger(__name__)

LIT_WITHIN_S = 15.0
LOOK_EVERY_S = 0.05


def await_light(api: Northbound, cards: Sequence[CardPlan]) -> None:
    """Until the controller sees carrier on every channel that cards seal: switches learn of it up to a second late.

    A wavelength whose keys do not come holds nobody up for longer than LIT_WITHIN_S. Raises EnvironmentLacks.
    """
    sealed = {client.channel for card in cards for client in card.clients}
    until = time.monotonic() + LIT_WITHIN_S
    while sealed:
        _, network = api.call("GET", "/v1/topology")
        down = sorted(c["id"] for c in network.get("channels", ()) if c["id"] in sealed and c["state"] == "down")
        if not down:
            return
        if time.monotonic() > until:
            log.warning("no carrier after %g s: %s", LIT_WITHIN_S, ", ".join(down))
            return
        time.sleep(LOOK_EVERY_S)


def card_sae(site: str) -> str:
    """The name by which a site's cards fetch keys."""
    return f"card-{site}"


def shelf_sites(cards: Sequence[CardPlan]) -> tuple[str, ...]:
    """The sites that have cards."""
    return tuple(dict.fromkeys(card.site for card in cards))


def shelf_files(
    topology: Topology,
    layout: Layout,
    configuration: Configuration,
    cards: Sequence[CardPlan],
    namespaces: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """By site, what :class:`kms.tunnel.cards.config.ShelfConfig` reads; ``namespaces`` are the run's, by node."""
    if not cards:
        return {}
    agents, vendors = agent_part(configuration), agents_vendors(topology, layout, card_sae(""))
    holders = {end: namespaces[node] for end, node in LINE_NODES.items()}
    found = {}
    for site in shelf_sites(cards):
        own = layout.pki / card_sae(site)
        found[site] = {
            "shelf": site, "sae_id": card_sae(site), "control_socket": str(layout.shelf_socket(site)),
            "kme_url": f"https://{topology.host(site).kme_address}:{KME_PORT}",
            "cert": str(own / "cert.pem"), "key": str(own / "key.pem"), "ca": str(own / "ca.pem"),
            "cards": [_card(card, holders[card.end]) for card in cards if card.site == site],
            "rekey_s": CARD_REKEY_S, "lifetime_s": configuration["encryption.lifetime_s"],
            "probe_s": agents["probe_s"], "unsafe_keylog": agents["unsafe_keylog"], "vendor": vendors.get(site),
        }  # fmt: skip
    return found


def _card(card: CardPlan, holder: int) -> dict[str, Any]:
    """``holder`` is the process that holds the namespace of its end of the line."""
    return {
        "wavelength": card.wavelength, "role": "initiator" if card.end == "a" else "responder",
        "key_source": card.key_source, "peer_sae": card_sae(card.peer_site),
        "line": {
            "namespace": f"/proc/{holder}/ns/net", "interface": card.interface,
            "address": str(card.address.ip), "peer": str(card.peer),
        },
        "clients": [asdict(client) for client in card.clients],
    }  # fmt: skip
