"""A provisioned connection as the northbound API describes it, in the terms the measurements need."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.measure.errors import ApiError
from topologies.spec import SecurityClass

CONNECTION_NETWORK = ipaddress.IPv4Network("10.200.0.0/16")
TUNNEL_BASE_PORT = 20000


@dataclass(frozen=True)
class Endpoint:
    """One end of a connection: the host it is on and its inner address."""

    host: str
    address: str

    def __str__(self) -> str:
        return f"{self.host}/{self.address}"


@dataclass(frozen=True)
class Connection:
    """One connection of a slice. ``path`` is channel ids from ``src`` to ``dst``."""

    slice: str
    name: str
    src: str
    dst: str
    src_address: str
    dst_address: str
    required: str
    key_source: str
    path: tuple[str, ...]
    bandwidth_mbps: float

    @property
    def id(self) -> str:
        return f"{self.slice}/{self.name}"

    @property
    def required_class(self) -> SecurityClass:
        """The least class a channel of the path may have; of a hybrid, the strongest part."""
        return max(SecurityClass.parse(part) for part in self.required.split("+"))

    @property
    def is_encrypted(self) -> bool:
        """Whether the request asks for encryption, whatever the system then made of it."""
        return self.required_class is not SecurityClass.NONE

    @property
    def ends(self) -> tuple[Endpoint, Endpoint]:
        return Endpoint(self.src, self.src_address), Endpoint(self.dst, self.dst_address)

    @property
    def tunnel_port(self) -> int:
        """UDP port of the connection's tunnel at both ends: 20000 plus the number of its address pair."""
        pair = (int(ipaddress.IPv4Address(self.src_address)) - int(CONNECTION_NETWORK.network_address)) // 2
        return TUNNEL_BASE_PORT + pair


def connections_of(slice_answer: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[Connection, ...]:
    """The connections in the API's answer for a slice, bandwidths from the request; ApiError if a field is missing."""
    name = str(request["name"])
    try:
        return tuple(_connection(name, raw, request) for raw in slice_answer["connections"])
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(f"slice {name}: the API's description of its connections lacks or garbles {error}") from error


def _connection(slice_name: str, raw: Mapping[str, Any], request: Mapping[str, Any]) -> Connection:
    required = raw["required"]
    return Connection(
        slice=slice_name,
        name=str(raw["name"]),
        src=str(raw["src"]),
        dst=str(raw["dst"]),
        src_address=str(ipaddress.IPv4Address(raw["src_address"])),
        dst_address=str(ipaddress.IPv4Address(raw["dst_address"])),
        required="+".join(required) if isinstance(required, list) else str(required),
        key_source=str(raw["key_source"]),
        path=tuple(str(c) for c in raw["path"]),
        bandwidth_mbps=float(_asked(raw, request["connections"])["bandwidth_mbps"]),
    )


def _asked(raw: Mapping[str, Any], connections: Any) -> Mapping[str, Any]:
    """What the request says of a connection: by its role in the papers' template, or listed under its name."""
    asked: Mapping[str, Any]
    if isinstance(connections, list):
        asked = {listed["name"]: listed for listed in connections}[raw["name"]]
    else:
        asked = connections[raw["role"]]
    return asked
