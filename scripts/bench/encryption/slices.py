"""The slices that the comparison makes: connections on one wavelength of QKD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.errors import WrongRequest
from topologies.spec import Channel, SecurityClass, Topology

LATENCY_MS = 100


def qkd_channel(topology: Topology) -> Channel:
    """The first channel of class QKD whose cards encrypt. WrongRequest where there is none."""
    encrypting = {w.id for w in topology.wavelengths if w.encryptor}
    for channel in topology.channels:
        if channel.security is SecurityClass.QKD and channel.wavelength in encrypting and not channel.dark:
            return channel
    raise WrongRequest(f"--topo: {topology.name} has no channel of class qkd with an encryptor")


def keyed_slice(topology: Topology, name: str) -> dict[str, Any]:
    """One QKD connection over whichever channels have room."""
    channel = qkd_channel(topology)
    return _request(name, [_connection("c", channel, "qkd", 0.1)])


def same_channel_slice(topology: Topology, name: str, mbps: float, **more: dict[str, Any]) -> dict[str, Any]:
    """Connections over one channel of QKD: by name, what each asks for beside that."""
    channel = qkd_channel(topology)
    return _request(name, [
        {**_connection(each, channel, str(asked["security"]), mbps), **asked, "include_channels": [channel.id],
         "max_hops": 1}
        for each, asked in more.items()
    ])  # fmt: skip


def two_pairs_slice(topology: Topology, name: str, mbps: float, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Two connections over one channel of QKD between different pairs of sites: ``near``, its own, and ``far``, which
    goes on from there over another. WrongRequest where no other goes on."""
    first = qkd_channel(topology)
    for second in topology.channels_of(first.b):
        if second.security is SecurityClass.QKD and not second.dark and second.other(first.b) != first.a:
            break
    else:
        raise WrongRequest(f"--topo: no channel of class qkd goes on from {first.b} in {topology.name}")
    near = _connection("near", first, "qkd", mbps)
    far = _connection("far", first, "qkd", mbps) | {"to": second.other(first.b)}
    ways = {"near": [first.id], "far": [first.id, second.id]}
    return _request(name, [
        {**each, **asked, "include_channels": ways[each["name"]], "max_hops": len(ways[each["name"]])}
        for each in (near, far)
    ])  # fmt: skip


def _request(name: str, connections: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "sNSSAI": {"sst": 1}, "connections": connections}


def _connection(name: str, channel: Channel, security: str, mbps: float) -> dict[str, Any]:
    return {
        "name": name, "from": channel.a, "to": channel.b, "security": security, "bandwidth_mbps": mbps,
        "latency_ms": LATENCY_MS, "protection": "none",
    }  # fmt: skip
