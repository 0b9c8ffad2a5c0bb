"""Wavelengths and cross-connects as the JSON of the northbound API: what is used, what is free. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from controller.model.connection import Connection
from controller.northbound.views.schema_terms import (
    AMOUNT,
    COUNT,
    FLAG,
    LEVEL,
    TEXT,
    TEXTS,
    object_of,
    or_null,
)
from controller.pce.network import Network
from topologies.spec import Topology

_WAVELENGTH: dict[str, Any] = {
    "id": TEXT, "class": LEVEL, "encryptor": FLAG, "ends": or_null(TEXTS), "capacity_mbps": AMOUNT,
    "reserved_mbps": AMOUNT, "reserved_from_a_mbps": AMOUNT, "reserved_from_b_mbps": AMOUNT, "client_ports": COUNT,
    "client_mbps": AMOUNT, "ports_used": COUNT, "ports_free": COUNT,
}  # fmt: skip
_PATCHED = or_null(object_of({"wavelength": TEXT, "port": COUNT}))
WAVELENGTH_SCHEMAS: dict[str, Any] = {
    "Wavelength": object_of(_WAVELENGTH),
    "WavelengthOfSlice": object_of({**_WAVELENGTH, "ports_of_slice": COUNT}),
    "CrossConnect": object_of({"site": TEXT, "connection": TEXT, "from": _PATCHED, "to": _PATCHED}),
}  # fmt: skip


def wavelength_view(network: Network, name: str) -> dict[str, Any]:
    """``ports_used``: by hops of connections where they have circuits, else by the circuits that there are.

    What is reserved from a is that of all circuits from their first ends; capacity holds in each direction.
    """
    topology, pools = network.topology, network.index.pools
    wavelength, number = topology.wavelength(name), pools.number[name]
    carried, left = network.carried_kbps(name), network.ports_left(name)
    used = len(pools.channels[number]) if left is None else wavelength.client_ports - left
    ends = topology.cards_of(name)
    return {
        "id": name,
        "class": wavelength.security.label,
        "encryptor": wavelength.encryptor,
        "ends": None if ends is None else list(ends),
        "capacity_mbps": pools.capacity_kbps[number] / 1000,
        "reserved_mbps": max(carried) / 1000,
        "reserved_from_a_mbps": carried[0] / 1000,
        "reserved_from_b_mbps": carried[1] / 1000,
        "client_ports": wavelength.client_ports,
        "client_mbps": wavelength.client_gbps * topology.mbps_per_gbps,
        "ports_used": used,
        "ports_free": wavelength.client_ports - used,
    }


def wavelengths_of(network: Network, connections: Iterable[Connection]) -> list[dict[str, Any]]:
    """The wavelengths that connections use, with the client ports that these have of them."""
    ports: Counter[str] = Counter()
    for connection in connections:
        for lane in connection.lanes:
            lit = [network.topology.channel(channel).wavelength for channel in lane.route.channels]
            ports.update(dict.fromkeys(lit, 0))
            ports.update(lit[: len(lane.ports)])
    return [wavelength_view(network, name) | {"ports_of_slice": count} for name, count in sorted(ports.items())]


def cross_connects(topology: Topology, connections: Iterable[Connection]) -> list[dict[str, Any]]:
    """What the optical switches join for connections: one client port to another, or to the site where one ends."""
    found = []
    for connection in connections:
        for lane in connection.lanes:
            hops = [
                {"wavelength": topology.channel(channel).wavelength, "port": port}
                for channel, port in zip(lane.route.channels, lane.ports, strict=False)
            ]
            for site, before, after in zip(lane.route.sites, (None, *hops), (*hops, None), strict=False):
                if hops and topology.site(site).optical_switch:
                    found.append({"site": site, "connection": connection.id, "from": before, "to": after})
    return found
