"""Telemetry of ETSI GS QKD 015 v2.1.1: each site's QKD node as JSON of the standard's YANG tree (RFC 7951). Pure.

The tree's ids are UUIDs; ours are derived from our names (RFC 9562, version 5), so that they are
the same after a restart.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from kms.admission.key_rate_reservations import Applications, QkdApp
from kms.keys.key import Source
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork

MODULE = "etsi-qkd-sdn-node"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:qslice:etsi-qkd-015")


def id_of(kind: str, name: str) -> str:
    """The UUID under which a thing of ours goes in the tree."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}:{name}"))


def node_tree(site: str, network: QkdNetwork, applications: Applications, sae_ids: Sequence[str]) -> dict[str, Any]:
    """The ``qkd_node`` of one site: its links, an interface for each, and the applications of its SAEs."""
    links = [link for link in network.links if site in (link.a, link.b)]
    at_site = set(sae_ids)
    apps = [app for app in applications if site in app.sites or at_site & {app.server_app_id, *app.client_app_id}]
    return {
        f"{MODULE}:qkd_node": {
            "qkdn_id": id_of("node", site),
            "qkdn_status": "UP",
            "qkdn_location_id": site,
            "qkdn_capabilities": {
                "link_stats_support": True,
                "application_stats_support": True,
                "key_relay_mode_enable": True,
            },
            "qkd_applications": {"qkd_app": [app_tree(app, network, applications) for app in apps]},
            "qkd_interfaces": {"qkd_interface": [_interface(site, link, network) for link in links]},
            "qkd_links": {"qkd_link": [link_tree(site, link, network, applications) for link in links]},
        }
    }


def app_tree(app: QkdApp, network: QkdNetwork, applications: Applications) -> dict[str, Any]:
    """A ``qkd_app``: an identifier is 64 bits in the tree's statistics, rates are bit/s."""
    crossed = applications.crossings(app)
    backing = [link for link in network.links if crossed and set(link.sections) <= set(crossed)]
    qos = {
        "max_bandwidth": round(app.app_qos.max_bandwidth),
        "min_bandwidth": round(app.app_qos.min_bandwidth),
        "jitter": app.app_qos.jitter,
        "ttl": app.app_qos.ttl,
    }
    return {
        "app_id": str(app.app_id),
        "app_type": "CLIENT",
        "app_status": applications.status(app).value,
        "server_app_id": app.server_app_id,
        "client_app_id": list(app.client_app_id),
        "app_priority": app.app_priority,
        "app_qos": {name: value for name, value in qos.items() if value is not None},
        "key_source": app.source.label,
        "backing_qkdl_id": [id_of("link", link.link_id) for link in backing if Source.QKD in app.source.parts],
    }


def link_tree(site: str, link: Link, network: QkdNetwork, applications: Applications) -> dict[str, Any]:
    sections = [network.sections[name] for name in link.sections]
    is_physical = len(sections) == 1
    remote = link.b if site == link.a else link.a
    status = "ACTIVE" if network.is_link_usable(link) else "PENDING" if network.is_link_unjudged(link) else "OFF"
    consumption = max(applications.expected_consumption_bps(name) for name in link.sections)
    skr = network.link_skr_bps(link)
    qbers = [section.qber for section in sections if section.qber is not None]
    performance: dict[str, Any] = {
        "expected_consumption": round(consumption),
        "skr": round(skr),
        "eskr": round(max(0.0, skr - consumption)),
    }
    if qbers:
        performance["phys_perf"] = [{"perf_type": "QBER", "value": f"{max(qbers):.5f}"}]
    tree: dict[str, Any] = {
        "qkdl_id": id_of("link", link.link_id),
        "qkdl_name": link.link_id,
        "qkdl_status": status,
        "qkdl_enable": True,
        "qkdl_local": {"qkdn_id": id_of("node", site), "qkdi_id": id_of("interface", f"{site}:{link.link_id}")},
        "qkdl_remote": {"qkdn_id": id_of("node", remote), "qkdi_id": id_of("interface", f"{remote}:{link.link_id}")},
        "qkdl_type": "PHYS" if is_physical else "VIRT",
        "qkdl_performance": performance,
    }
    if is_physical:
        channel = sections[0].channel
        tree["phys_channel_att"] = f"{channel.length_km * channel.attenuation_db_per_km:.3f}"
    else:
        hops = [id_of("node", node) for node in network.trusted_nodes((link,), link.a)]
        tree |= {"virt_prev_hop": hops[0], "virt_next_hop": hops}
    return tree


def _interface(site: str, link: Link, network: QkdNetwork) -> dict[str, Any]:
    first = network.sections[link.sections[0] if site == link.a else link.sections[-1]]
    return {
        "qkdi_id": id_of("interface", f"{site}:{link.link_id}"),
        "qkdi_type": "DV-BB84",
        "role_support": "BOTH",
        "qkdi_att_point": {"device": first.section_id},
        "qkdi_status": "ENABLED" if first.is_usable else "DOWN",
    }
