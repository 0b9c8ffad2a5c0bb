"""Small networks and requests for path computation, from terse descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from controller.model.request import (
    ComputeRequest,
    ConnectionRequest,
    ConnectionSpec,
    Role,
    SecurityRequirement,
    SliceRequest,
    SNssai,
    ThreeRoles,
)
from controller.pce.network import Network
from topologies.catalog import ukqntel
from topologies.spec import Channel, QkdLink, QkdSection, SecurityClass, Site, Tier, Topology, Wavelength

PLENTY_MILLIBPS = 10**9  # key rate, millibit/s


def channel(
    channel_id: str,
    a: str,
    b: str,
    security: SecurityClass = SecurityClass.NONE,
    mbps: float = 100,
    km: float = 10,
    groups: Iterable[str] = (),
) -> Channel:
    return Channel(channel_id, a, b, f"w-{channel_id}", security, mbps, km, frozenset({f"w-{channel_id}", *groups}))


def topology(
    channels: Iterable[Channel],
    links: Iterable[tuple[str, str, tuple[str, ...]]] = (),
    compute: dict[str, int] | None = None,
    sites: Iterable[str] = (),
) -> Topology:
    """A topology whose sites are those its channels touch (and ``sites``); sections run between made-up nodes."""
    channels, links = tuple(channels), tuple(links)
    names = sorted({end for c in channels for end in c.ends} | set(sites))
    sections = sorted({s for _, _, on in links for s in on})
    return Topology(
        "small",
        tuple(Site(n, Tier.METRO, (compute or {}).get(n, 0), (compute or {}).get(n, 0)) for n in names),
        tuple(Wavelength(c.wavelength, c.security) for c in channels),
        channels,
        tuple(QkdSection(s, "hub", f"node-{s}", 10) for s in sections),
        tuple(QkdLink(f"{a}~{b}~{i}", a, b, on) for i, (a, b, on) in enumerate(links)),
    )


def fibres_apart() -> Topology:
    """ukqntel as it is not: each wavelength on a fibre of its own, so that two of them are two ways side by side."""
    as_printed = ukqntel()
    return replace(
        as_printed,
        name="fibres-apart",
        channels=tuple(replace(c, risk_groups=frozenset({c.wavelength})) for c in as_printed.channels),
        sections=tuple(replace(s, risk_groups=frozenset()) for s in as_printed.sections),
    )


def network(*channels: Channel, **more: Any) -> Network:
    built = Network(topology(channels, **more))
    for section in built.topology.sections:
        built.set_section(section.id, PLENTY_MILLIBPS, True)
    return built


def spec(security: str = "none", mbps: float = 10, latency_ms: float = 1000, **more: Any) -> ConnectionSpec:
    sources = tuple(SecurityClass.parse(s) for s in security.split("+"))
    match = {"match": more.pop("match")} if "match" in more else {}
    return ConnectionSpec(SecurityRequirement(sources, **match), round(mbps * 1000), round(latency_ms * 1000), **more)


def ask(src: str, dst: str, asked: ConnectionSpec | None = None, name: str = "c", **more: Any) -> ConnectionRequest:
    return ConnectionRequest("s", name, Role.ACCESS, src, dst, asked or spec(**more))


def ask_slice(
    connections: dict[Role, ConnectionSpec],
    cells: tuple[str, ...] = ("cell1",),
    core: str = "core1",
    site: str | None = None,
    vcpus: int = 1,
) -> SliceRequest:
    return SliceRequest("s", SNssai(1), ThreeRoles(cells, ComputeRequest(site, vcpus, vcpus), core, connections))
