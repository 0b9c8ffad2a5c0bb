"""Large generated networks: sites scattered over a plane, fibres to near neighbours, five channels on each fibre."""

from __future__ import annotations

import math
import random

from controller.model.path import Route
from controller.model.request import ConnectionRequest, ConnectionSpec, Role, SecurityRequirement
from controller.pce.network import Network
from scripts.bench.pce.instances import DH, NONE, QKD, QRA, seeded
from topologies.spec import (
    ENCRYPTION_CARD_DELAY_US,
    FIBRE_DELAY_US_PER_KM,
    Channel,
    QkdLink,
    QkdSection,
    Site,
    Tier,
    Topology,
    Wavelength,
)

FIVE_CHANNELS = (NONE, DH, QRA, QKD, QKD)  # paper 002, section 2
PORTS_PER_WAVELENGTH = 10
SPACING_KM = 12.0
CAPACITY_MBPS = 10_000.0  # paper 002, section 2: "all interconnections between 5G network sites are 10G"
KEEP_FIBRE = 0.85
LOAD_STEPS = 20
FULL_SHARE, DOWN_SHARE, DRY_SHARE = 0.2, 0.01, 0.02
SECTION_RATE_MILLIBPS = 3_000_000  # 3 kbit/s


def large_topology(sites: int, seed: int) -> Topology:
    """Sites on a jittered lattice; fibres right and down, thinned out, yet all connected."""
    rng = seeded(seed)
    columns = math.ceil(math.sqrt(sites))
    places = [
        ((i % columns + rng.uniform(-0.4, 0.4)) * SPACING_KM, (i // columns + rng.uniform(-0.4, 0.4)) * SPACING_KM)
        for i in range(sites)
    ]
    fibres = _fibres(rng, sites, columns)
    names = [f"s{i}" for i in range(sites)]
    wavelengths: list[Wavelength] = []
    channels: list[Channel] = []
    for start in range(0, len(fibres), PORTS_PER_WAVELENGTH):
        row = [Wavelength(f"w{start}-{n}", security) for n, security in enumerate(FIVE_CHANNELS)]
        wavelengths.extend(row)
        risks = [frozenset({w.id}) for w in row]
        for a, b in fibres[start : start + PORTS_PER_WAVELENGTH]:
            km = round(1.2 * math.dist(places[a], places[b]), 1)  # fibre is not laid straight
            channels.extend(
                Channel(f"{a}-{b}-{n}", names[a], names[b], w.id, w.security, CAPACITY_MBPS, km, risk)
                for n, (w, risk) in enumerate(zip(row, risks, strict=True))
            )
    return Topology(
        f"large-{sites}",
        tuple(
            Site(name, Tier.METRO, x=x / SPACING_KM / columns, y=y / SPACING_KM / columns)
            for name, (x, y) in zip(names, places, strict=True)
        ),
        tuple(wavelengths),
        tuple(channels),
        tuple(QkdSection(f"q{a}-{b}", names[a], names[b], 10) for a, b in fibres),
        tuple(QkdLink(f"k{a}-{b}", names[a], names[b], (f"q{a}-{b}",)) for a, b in fibres),
        mbps_per_gbps=1000.0,
    )


def _fibres(rng: random.Random, sites: int, columns: int) -> list[tuple[int, int]]:
    """Lattice edges, thinned out but for a spanning tree."""
    edges = [(i, i + 1) for i in range(sites) if (i + 1) % columns and i + 1 < sites]
    edges += [(i, i + columns) for i in range(sites - columns)]
    rng.shuffle(edges)
    parent = list(range(sites))

    def root(site: int) -> int:
        while parent[site] != site:
            parent[site] = parent[parent[site]]
            site = parent[site]
        return site

    kept = []
    for a, b in edges:
        if root(a) != root(b):
            parent[root(a)] = root(b)
        elif rng.random() > KEEP_FIBRE:
            continue
        kept.append((a, b))
    return sorted(kept)


def large_network(sites: int, seed: int) -> Network:
    """The topology under load: all channels carry something, a fifth is full, some are down, some sections dry."""
    network = Network(large_topology(sites, seed))
    rng = seeded(seed + 1)
    by_load: list[list[str]] = [[] for _ in range(LOAD_STEPS + 1)]
    for channel_id in network.index.channel_ids:
        by_load[LOAD_STEPS if rng.random() < FULL_SHARE else rng.randrange(LOAD_STEPS)].append(channel_id)
        if rng.random() < DOWN_SHARE:
            network.set_channel_up(channel_id, False)
    for step, channels in enumerate(by_load):
        load = Route(sites=(), channels=tuple(channels), latency_us=0, cost=0)
        network.reserve(f"load-{step}", load, round(CAPACITY_MBPS * 1000) * step // LOAD_STEPS, 0)
    for section in network.index.section_ids:
        network.set_section(section, SECTION_RATE_MILLIBPS, rng.random() >= DRY_SHARE)
    return network


def large_request(network: Network, seed: int) -> ConnectionRequest:
    """Two sites anywhere; a latency bound from just too tight to loose; every class; QKD keys at paper 001's 3 s."""
    rng = seeded(seed)
    src, dst = rng.sample(network.topology.sites, 2)
    columns = math.isqrt(len(network.topology.sites) - 1) + 1
    steps = (abs(src.x - dst.x) + abs(src.y - dst.y)) * columns
    least_us = max(1.0, steps) * (1.2 * SPACING_KM * FIBRE_DELAY_US_PER_KM + ENCRYPTION_CARD_DELAY_US)
    spec = ConnectionSpec(
        SecurityRequirement((rng.choice((NONE, DH, QRA, QKD)),)),
        bandwidth_kbps=rng.choice((1_000, 100_000, 1_000_000)),
        latency_us=round(least_us * rng.uniform(0.9, 2.0)),
    )
    return ConnectionRequest("s", f"c{seed}", Role.ACCESS, src.name, dst.name, spec)
