"""What a testbed says of itself: slices, connections, channels, QKD sections, events, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.measure.connection import Connection as MeasuredConnection


@dataclass(frozen=True)
class Connection(MeasuredConnection):
    """One connection of a slice, as the controller describes it now. Paths are channel ids from ``src`` to ``dst``."""

    level: str
    """The level in force: below ``required`` while it uses a fallback that the request lists."""

    protection: str
    rekey_s: float | None
    """Seconds between key renewals now; None without encryption."""

    backup: tuple[str, ...]
    key_links: tuple[str, ...]
    """The QKD links that its keys come over."""

    state: str
    reason: str | None

    @classmethod
    def of(cls, slice_name: str, raw: Mapping[str, Any]) -> Connection:
        backup = raw["backup"] or {}
        return cls(
            slice_name, raw["name"], raw["src"], raw["dst"], raw["src_address"], raw["dst_address"], raw["required"],
            raw["key_source"], tuple(raw["path"]), raw["bandwidth_mbps"], raw["level"], raw["protection"],
            raw["rekey_in_effect_s"], tuple(backup.get("path", ())), tuple(raw["key_links"]), raw["state"],
            raw["reason"],
        )  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """A slice as the controller describes it now; ``request`` is what was asked for, defaults filled in."""

    name: str
    state: str
    compute_site: str | None
    reason: str | None
    connections: tuple[Connection, ...]
    request: Mapping[str, Any]

    def connection(self, name: str) -> Connection:
        """Raises KeyError that lists the names there are."""
        for connection in self.connections:
            if connection.name == name:
                return connection
        raise KeyError(f"slice {self.name} has no connection {name!r}; there are {[c.name for c in self.connections]}")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Slice:
        connections = tuple(Connection.of(raw["name"], each) for each in raw["connections"])
        return cls(raw["name"], raw["state"], raw["compute_site"], raw["reason"], connections, raw["request"])


@dataclass(frozen=True)
class Channel:
    """A channel with its state (``up``, ``down`` or ``dark``) and load."""

    id: str
    a: str
    b: str
    security: str
    state: str
    capacity_mbps: float
    reserved_mbps: float

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Channel:
        return cls(
            raw["id"], raw["a"], raw["b"], raw["class"], raw["state"], raw["capacity_mbps"], raw["reserved_mbps"]
        )


@dataclass(frozen=True)
class Section:
    """A QKD section as the KMS describes it. ``state`` is ``starting``, ``active`` or ``stopped``."""

    id: str
    a: str
    b: str
    length_km: float
    state: str
    stop_reason: str
    secret_bps: float | None
    """None while it has not been judged: then nobody knows yet what it can give."""

    qber: float | None
    available_bits: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Section:
        return cls(
            raw["id"], raw["a"], raw["b"], raw["length_km"], raw["state"], raw["stop_reason"], raw["skr_bps"],
            raw["qber"], raw["available_bits"],
        )  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """Keys of one source that two sites have ready."""

    a: str
    b: str
    source: str
    stored: int


@dataclass(frozen=True)
class Keys:
    """QKD sections by id, and all pools."""

    sections: Mapping[str, Section]
    pools: tuple[Pool, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Keys:
        sections = {s["id"]: Section.of(s) for s in raw["sections"]}
        return cls(sections, tuple(Pool(p["a"], p["b"], p["source"], p["stored"]) for p in raw["pools"]))


@dataclass(frozen=True)
class Event:
    """What has happened: its kind (docs/reference/api.md), when (Unix time, s), and the kind's own members."""

    kind: str
    sequence: int
    time: float
    members: Mapping[str, Any]

    def __getitem__(self, member: str) -> Any:
        return self.members[member]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Event:
        members = {name: value for name, value in raw.items() if name not in ("event", "sequence", "time")}
        return cls(raw["event"], raw["sequence"], datetime.fromisoformat(raw["time"]).timestamp(), members)
