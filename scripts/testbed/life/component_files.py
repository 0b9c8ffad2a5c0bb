"""The configuration files of a run's processes: what the run knows, and the settings in force. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.configuration.components import agent_part, controller_part, kms_part
from scripts.configuration.values import Configuration
from scripts.testbed.extensions import NO_EXTENSIONS, InForce
from scripts.testbed.life.devices import LAYER_HOST, LAYER_PORT
from scripts.testbed.life.ready_pairs import slice_pairs
from scripts.testbed.paths import Layout
from topologies.cards import CardPlan
from topologies.spec import KME_PORT, Topology

OPENFLOW_HOST = "127.0.0.1"
# Keys of these sources are made ahead of the first slice, so that it is as quick to set up as any later one. QKD keys
# are not: they take key material of the sections, which must not lie idle between sites that nobody joins.
READY_SOURCES = ("dh", "qra")


def kms_file(
    topology: Topology,
    layout: Layout,
    configuration: Configuration,
    extensions: InForce = NO_EXTENSIONS,
    cards: Sequence[CardPlan] = (),
) -> dict[str, Any]:
    """The KMS', as :class:`kms.config.KmsConfig` reads it."""
    with_shelf = {card.site for card in cards}
    pairs = {(a, b, source) for a, b in slice_pairs(topology) for source in READY_SOURCES}
    pairs |= {
        (min(card.site, card.peer_site), max(card.site, card.peer_site), card.key_source)
        for card in cards
        if card.key_source in READY_SOURCES
    }
    return {
        **kms_part(configuration),
        **extensions.kms_part(),
        "state_dir": str(layout.kms_state),
        "pki_dir": str(layout.pki),
        "admin_socket": str(layout.kms_socket),
        "sites": [
            {
                "site": site, "kme_id": f"kme-{site}", "host": topology.host(site).kme_address,
                "port": KME_PORT,
                "sae_ids": [f"sae-{site}", *([f"card-{site}"] if site in with_shelf else [])],
            }
            for site in topology.site_names
        ],
        "sections": topology.to_dict()["sections"],
        "qkd_links": topology.to_dict()["qkd_links"],
        "pairs": [{"a": a, "b": b, "key_source": source} for a, b, source in sorted(pairs)],
    }  # fmt: skip


def agent_file(
    topology: Topology,
    layout: Layout,
    configuration: Configuration,
    site: str,
    vendor: Mapping[str, Any] | None = None,
    extensions: InForce = NO_EXTENSIONS,
) -> dict[str, Any]:
    """The tunnel agent's of one host, as :class:`kms.tunnel.config.AgentConfig` reads it.

    ``vendor`` is the site's KME that is not ours, where it has one.
    """
    host, own = topology.host(site), layout.pki / f"sae-{site}"
    return {
        **agent_part(configuration),
        "host": site, "sae_id": f"sae-{site}", "control_socket": str(layout.tunnel_socket(site)),
        "underlay_interface": "data0", "underlay_address": host.data_address,
        "kme_url": f"https://{host.kme_address}:{KME_PORT}",
        "cert": str(own / "cert.pem"), "key": str(own / "key.pem"), "ca": str(own / "ca.pem"),
        "vendor": vendor, "suite_extension": extensions.agent_part(),
    }  # fmt: skip


def provisioning_part(layout: Layout, configuration: Configuration) -> dict[str, Any]:
    """How slices are set up, as :class:`controller.schema.config.ProvisioningConfig` reads it."""
    layer = {"layer_host": LAYER_HOST, "layer_port": LAYER_PORT, "layer_token": str(layout.layer_token)}
    return {**configuration.section("provisioning"), **layer}


def controller_file(
    topology: Topology,
    layout: Layout,
    configuration: Configuration,
    ovsdb_socket: Path | None = None,
    unsafe_mutation: str | None = None,
    extensions: InForce = NO_EXTENSIONS,
) -> dict[str, Any]:
    """The controller's, as :class:`controller.schema.config.ControllerConfig` reads it."""
    own, part = layout.pki / "controller", controller_part(configuration)
    return {
        **part,
        "topology": topology.to_dict(),
        "database": str(layout.database),
        "token_file": str(layout.token),
        "openflow": {
            **part["openflow"], "host": OPENFLOW_HOST,
            "key": str(own / "key.pem"), "cert": str(own / "cert.pem"), "ca": str(own / "ca.pem"),
            "switch_name": layout.switch_certificate.name,
        },
        "encryption": configuration["encryption.mode"],
        "provisioning": provisioning_part(layout, configuration),
        "watch_carrier": True,
        "ovsdb_socket": None if ovsdb_socket is None else str(ovsdb_socket),
        "unsafe_mutation": unsafe_mutation,
        "extensions": extensions.controller_part(),
        "kms_socket": str(layout.kms_socket),
        "tunnel_sockets": {site: str(layout.tunnel_socket(site)) for site in topology.site_names},
    }  # fmt: skip
