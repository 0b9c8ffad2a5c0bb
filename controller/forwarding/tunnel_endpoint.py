"""What the agents at both ends of a connection are told about its tunnel."""

from __future__ import annotations

from typing import Any

from controller.model.connection import Connection
from controller.model.request import ConnectionSpec, Protection
from controller.model.tunnel_profile import CONSTANT_RATE, slots_per_s
from topologies.spec import Topology


def tunnel_end(topology: Topology, connection: Connection, site: str) -> dict[str, Any]:
    """What the agent at ``site`` is told about a connection."""
    request = connection.request
    is_source = site == request.src
    peer = request.dst if is_source else request.src
    addresses = (connection.src_address, connection.dst_address)
    addresses6 = (connection.src_address6, connection.dst_address6)
    local, remote = addresses if is_source else addresses[::-1]
    local6, remote6 = addresses6 if is_source else addresses6[::-1]
    return {
        "id": connection.id,
        "role": "initiator" if is_source else "responder",
        "mode": "esp" if connection.is_encrypted else "clear",
        "interface": connection.tunnel_interface,
        "port": connection.tunnel_port,
        "peer_underlay": topology.host(peer).data_address,
        "local_address": local,
        "peer_address": remote,
        "local_address6": local6,
        "peer_address6": remote6,
        "peer_sae": f"sae-{peer}",
        "key_source": connection.key_source,
        "suite": request.spec.suite,
        **_padding_part(request.spec),
        "rekey_s": connection.rekey_s,
        "rate_kbps": request.spec.bandwidth_kbps,
        **tunnel_part(connection),
        "lifetime_s": request.spec.key_lifetime_s,
    }


def _padding_part(spec: ConnectionSpec) -> dict[str, Any]:
    rate = {"padding_pps": slots_per_s(spec.bandwidth_kbps)} if spec.padding == CONSTANT_RATE else {}
    return {"padding": spec.padding, **rate}


def ends_of(connection: Connection) -> tuple[str, str]:
    return connection.request.src, connection.request.dst


SMALLEST_PACKET_BITS = 8 * 100  # an empty datagram in ESP in UDP, with Ethernet and VLAN headers
QUEUEING_US = 20_000
REPAIR_US = 100_000  # for so long the tunnel keeps what it has sent
MIN_WINDOW, MAX_WINDOW = 1024, 8192  # the tunnel's usual and greatest


def tunnel_part(connection: Connection) -> dict[str, int | bool]:
    """What the tunnel's ends do for the protection: drop second copies (1+1), send again what was lost (1:1).

    They are told of what they shall not do as well, so that they do it no more after a change.
    """
    protection = connection.request.spec.protection
    return {
        "expects_copies": protection is Protection.ONE_PLUS_ONE,
        "repairs": protection is Protection.ONE_TO_ONE,
        "replay_window": replay_window(connection) if protection.has_backup else MIN_WINDOW,
    }


def replay_window(connection: Connection) -> int:
    """How many sequence numbers the tunnel must remember for the later copy to be told from a new packet.

    As many of the smallest packets as the reserved rate carries during the greatest difference of the two ways: the
    latency asked for bounds either way, and the queues on them differ by QUEUEING_US at most; and with 1:1 for as long
    as lost packets are sent again. A power of two.
    """
    spec = connection.request.spec
    repair_us = REPAIR_US if spec.protection is Protection.ONE_TO_ONE else 0
    packets = spec.bandwidth_kbps * (spec.latency_us + QUEUEING_US + repair_us) // (SMALLEST_PACKET_BITS * 1000)
    return min(MAX_WINDOW, max(MIN_WINDOW, 1 << packets.bit_length()))
