"""A slice as an IETF Network Slice Service (RFC 9543) in the YANG model of
draft-ietf-teas-ietf-network-slice-nbi-yang-13, encoded as JSON (RFC 7951: 64-bit numbers are strings).

The sites that connections join are the slice's Service Demarcation Points. Each role, or each connection of a slice
without the papers' template, is a connection group, and each connection two point-to-point connectivity constructs,
since one is unidirectional (RFC 9543, 3.2). Where the way back has another bandwidth its construct has a policy of its
own. What the model has no leaf for (key exchange class, hybrid keys, rekeying) is said in the policy's ``description``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.model.connection import Connection
from controller.model.request import ConnectionSpec, ThreeRoles
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.schema.slice_request import AUTO
from topologies.spec import Topology

MODULE = "ietf-network-slice-service"
HOST_MTU = 1500  # Ethernet at the attachment circuit
# Identities of states in ietf-vpn-common (RFC 9181).
UP, DOWN = "ietf-vpn-common:op-up", "ietf-vpn-common:op-down"
ADMIN_UP = "ietf-vpn-common:admin-up"


def ietf_slice_service(topology: Topology, record: SliceRecord, connections: Iterable[Connection]) -> dict[str, Any]:
    """The container ``network-slice-services`` with this one slice in it."""
    request, members = record.request, tuple(connections)
    shape = request.shape
    compute_site = record.compute_site or shape.site  # none of them while it is SCHEDULED with site: auto
    tag = f"compute-site={compute_site or AUTO}" if isinstance(shape, ThreeRoles) else "shape=listed-connections"
    sites = dict.fromkeys((*shape.ends[:-1], *filter(None, [compute_site]), shape.ends[-1]))
    groups = {key: [c for c in members if c.request.key == key] for key in shape.specs}
    service = {
        "id": request.name,
        "description": f"S-NSSAI {request.snssai.sst}" + (f"-{request.snssai.sd}" if request.snssai.sd else ""),
        "service-tags": {"tag-type": [{"tag-type": f"{MODULE}:opaque", "value": [tag]}]},
        "status": {
            "admin-status": {"status": ADMIN_UP},
            "oper-status": {"status": UP if record.state is SliceState.ACTIVE else DOWN},
        },
        "sdps": {"sdp": [_sdp(topology, site, members) for site in sites]},
        "connection-groups": {"connection-group": [_group(key, group) for key, group in groups.items() if group]},
    }
    return {f"{MODULE}:network-slice-services": {"slice-service": [service]}}


def _sdp(topology: Topology, site: str, connections: tuple[Connection, ...]) -> dict[str, Any]:
    host = topology.host(site)
    here = [c for c in connections if site in (c.request.src, c.request.dst)]
    return {
        "id": site,
        "node-id": topology.bridge(site),
        "sdp-ip-address": [host.data_address],
        "service-match-criteria": {
            "match-criterion": [_criterion(index, c, site) for index, c in enumerate(here, start=1)]
        },
        "attachment-circuits": {
            "attachment-circuit": [
                {
                    "id": f"{site}-data0",
                    "ac-node-id": topology.bridge(site),
                    "ac-tp-id": topology.ports(site)[0].interface,
                    "ac-ipv4-address": host.data_address,
                    "ac-ipv4-prefix-length": 16,
                    "mtu": HOST_MTU,
                }
            ]
        },
        "status": {"admin-status": {"status": ADMIN_UP}},
    }


def _criterion(index: int, connection: Connection, site: str) -> dict[str, Any]:
    is_source = site == connection.request.src
    peer = connection.dst_address if is_source else connection.src_address
    return {
        "index": index,
        "match-type": f"{MODULE}:destination-ip-prefix",
        "value": [f"{peer}/32"],
        "target-connection-group-id": connection.request.key,
        "target-connectivity-construct-id": _construct_id(connection, is_forward=is_source),
    }


def _group(key: str, connections: list[Connection]) -> dict[str, Any]:
    return {
        "id": key,
        "connectivity-type": f"{MODULE}:point-to-point",
        "service-slo-sle-policy": _policy(connections[0].request.spec, is_forward=True),
        "connectivity-construct": [
            _construct(connection, is_forward) for connection in connections for is_forward in (True, False)
        ],
    }


def _construct(connection: Connection, is_forward: bool) -> dict[str, Any]:
    request = connection.request
    sender, receiver = (request.src, request.dst) if is_forward else (request.dst, request.src)
    is_up = connection.state is ConnectionState.ACTIVE
    rates_kbps = request.spec.rates_kbps
    own = (
        {}
        if is_forward or rates_kbps[0] == rates_kbps[1]
        else {"service-slo-sle-policy": _policy(request.spec, is_forward=False)}
    )
    return {
        "id": _construct_id(connection, is_forward),
        **own,
        "p2p-sender-sdp": sender,
        "p2p-receiver-sdp": receiver,
        "status": {
            "admin-status": {"status": ADMIN_UP},
            "oper-status": {"status": UP if is_up else DOWN},
        },
    }


def _construct_id(connection: Connection, is_forward: bool) -> str:
    return f"{connection.request.name}-{'forward' if is_forward else 'reverse'}"


def _policy(spec: ConnectionSpec, *, is_forward: bool) -> dict[str, Any]:
    """SLOs can be measured, SLEs cannot (RFC 9543, 5.1): bandwidth and delay are the one, security the other."""
    sle: dict[str, Any] = {"isolation": [f"{MODULE}:traffic-isolation"]}
    if spec.security.is_encrypted:
        sle["security"] = [f"{MODULE}:{what}" for what in ("authentication", "integrity", "encryption")]
    if spec.protection.has_backup:
        sle["path-constraints"] = {"diversity": {"diversity-type": "link"}}
    return {
        "description": _say(spec),
        "slo-policy": {
            "metric-bound": [
                {
                    "metric-type": f"{MODULE}:one-way-bandwidth",
                    "metric-unit": "Kbps",
                    "bound": str(spec.rates_kbps[0 if is_forward else 1]),
                },
                {
                    "metric-type": f"{MODULE}:one-way-delay-maximum",
                    "metric-unit": "microseconds",
                    "bound": str(spec.latency_us),
                },
            ],
            "mtu": HOST_MTU,
        },
        "sle-policy": sle,
    }


def _say(spec: ConnectionSpec) -> str:
    if not spec.security.is_encrypted:
        return f"key-source=none; protection={spec.protection.value}"
    said = f"key-source={spec.security.key_source}; match={spec.security.match.value}; rekey-s={spec.rekey_s:g}"
    fallback = "" if not spec.fallback else "; fallback=" + ",".join(level.label for level in spec.fallback)
    return f"{said}; protection={spec.protection.value}{fallback}"
