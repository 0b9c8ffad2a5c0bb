"""Random networks and requests for path computation: small and awkward for the oracles, large for the clock.

Everything follows from a seed. Small instances are drawn so that about half are feasible and constraints bind:
costs tie, channels are nearly full, sections are shared between QKD links, elements are down.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, replace

from controller.model.latency import NOTHING_BESIDE_CHANNELS, LatencyModel
from controller.model.operator_policy import CostProfile
from controller.model.path import Route
from controller.model.request import (
    KEY_BITS,
    AnyShape,
    Compute,
    ComputeRequest,
    ConnectionRequest,
    ConnectionSpec,
    Match,
    NamedConnection,
    Protection,
    Role,
    SecurityRequirement,
    SliceRequest,
    SNssai,
    ThreeRoles,
)
from controller.pce.network import Network, OverCommitted
from topologies.spec import Allocation, Channel, QkdLink, QkdSection, SecurityClass, Site, Tier, Topology, Wavelength

KEY_UNIT_MILLIBPS = 1000  # rates on sections and needs of connections are small multiples of this
NONE, DH, QRA, QKD = SecurityClass
FIVE_CHANNELS = (NONE, DH, QRA, QKD, QKD)  # paper 002, section 2


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - reproducible on purpose, nothing secret


@dataclass(frozen=True)
class SmallLimits:
    """How large small instances may grow; the oracles' effort is exponential in them."""

    sites: int = 6
    channels: int = 11
    cells: int = 2


def small_network(
    seed: int,
    limits: SmallLimits = SmallLimits(),
    *,
    is_one_sided: bool = False,
    pooled: Allocation | None = None,
    profile: CostProfile = CostProfile.PREMIUM_LAST,
    latency: LatencyModel = NOTHING_BESIDE_CHANNELS,
) -> Network:
    """A connected multigraph, or nearly: parallel channels, ties, shared-risk groups, dead elements.

    Some channels of one that ``is_one_sided`` are loaded, each in its two directions unlike. ``pooled`` puts several
    channels on each wavelength, which has less than they have together, or few client ports.
    """
    rng = seeded(seed)
    names = [chr(ord("a") + i) for i in range(rng.randint(3, limits.sites))]
    tree = [(names[i], names[rng.randrange(i)]) for i in range(1, len(names))]
    best = rng.choice([NONE, QRA, QKD, QKD, QKD, QKD])  # some networks have no premium channels at all
    ends = list(tree)
    for _ in range(rng.randint(0, limits.channels - len(tree))):
        ends.append(rng.choice(ends) if rng.random() < 0.3 else (rng.choice(names), rng.choice(names)))
        if ends[-1][0] == ends[-1][1]:
            ends[-1] = rng.choice(tree)
    channels = []
    for i, (a, b) in enumerate(ends):
        security = min(best, rng.choice([NONE, DH, QRA, QKD, QKD, QKD]))
        groups = {f"w{i}", *rng.sample(["g1", "g2", "g3", "g4"], rng.choice([0, 0, 0, 1, 2]))}
        mbps, km = rng.choice([10, 20, 30, 100]), rng.choice([0, 1, 1.5, 10, 10, 30])
        channels.append(Channel(f"ch{i}", a, b, f"w{i}", security, mbps, km, frozenset(groups)))
    section_names = ["s1", "s2", "s3"]
    link_ends = tree + [tuple(rng.sample(names, 2)) for _ in range(rng.randint(0, 3))]
    links = [
        QkdLink(f"q{i}", a, b, tuple(rng.choice(section_names) for _ in range(rng.choice([1, 1, 1, 2]))))
        for i, (a, b) in enumerate(link_ends)
    ]
    # Every section joins the same two nodes, so that any sequence of them meets.
    inner = rng.choice(["hut", "hut", "hut", *names])
    topology = Topology(
        f"small-{seed}",
        tuple(Site(n, Tier.METRO, rng.choice([0, 1, 2, 2]), rng.choice([1, 2])) for n in names),
        tuple(Wavelength(c.wavelength, c.security) for c in channels),
        tuple(channels),
        tuple(QkdSection(s, inner, "far", 10) for s in section_names),
        tuple(links),
    )
    if pooled is not None:
        topology = _pooled(seed, topology, pooled)
    network = Network(topology, profile, latency)
    for section in section_names:
        network.set_section(section, rng.choice([0, 1, 3, 6, 9, 9]) * KEY_UNIT_MILLIBPS, rng.random() > 0.05)
    for channel in topology.channels:
        if rng.random() < 0.05:
            network.set_channel_up(channel.id, False)
    if rng.random() < 0.05:
        network.set_site_up(rng.choice(names), False)
    if is_one_sided:
        _load_one_sided(seed, network)
    return network


def _pooled(seed: int, topology: Topology, allocation: Allocation) -> Topology:
    """The same with few wavelengths of few classes."""
    rng = seeded(seed)
    classes = {f"v{i}": rng.choice([NONE, NONE, DH, QKD]) for i in range(rng.randint(2, 4))}
    channels = []
    for c in topology.channels:
        name = rng.choice(list(classes))
        risks = c.risk_groups - {c.wavelength} | {name}
        channels.append(replace(c, wavelength=name, risk_groups=risks, security=classes[name]))
    wavelengths = []
    for name, security in classes.items():
        least = max((c.capacity_mbps for c in channels if c.wavelength == name), default=10.0)
        gbps = max(min(least, 20.0), rng.choice([10.0, 15.0, 20.0, 30.0, 45.0, 60.0]))
        ports = rng.choice([1, 2, 2, 3, 4, 6]) if allocation is Allocation.CIRCUIT else len(channels)
        client_gbps = min(gbps / ports, rng.choice([9.999, 10.0, 15.0]))
        wavelengths.append(Wavelength(name, security, gbps, ports, client_gbps))
        channels = [replace(c, capacity_mbps=min(c.capacity_mbps, gbps)) if c.wavelength == name else c
                    for c in channels]  # fmt: skip
    return replace(topology, wavelengths=tuple(wavelengths), channels=tuple(channels), allocation=allocation)


def _load_one_sided(seed: int, network: Network) -> None:
    rng = seeded(seed)
    for c in network.topology.channels:
        kbps = (rng.choice([0, 0, 5_000, 9_999, 10_000]), rng.choice([0, 0, 1, 10_000]))
        with suppress(OverCommitted):  # its wavelength may be full
            network.reserve(f"load {c.id}", Route(c.ends, (c.id,), 0, 0), kbps, 0)


def small_spec(rng: random.Random, network: Network, protections: tuple[Protection, ...]) -> ConnectionSpec:
    """Requirements of which some bind."""
    sites, channels = network.topology.site_names, network.index.channel_ids
    spec = ConnectionSpec(
        SecurityRequirement(
            rng.choice([(NONE,), (DH,), (QRA,), (QKD,), (QKD,), (QRA, QKD)]),
            rng.choice([Match.AT_LEAST] * 5 + [Match.EXACT]),
        ),
        bandwidth_kbps=rng.choice([0, 1, 5_000, 9_999, 10_000, 10_001, 15_000]),
        latency_us=rng.choice([64, 100, 150, 200, 300, 10**6, 10**6]),
        rekey_s=KEY_BITS * 1000 / KEY_UNIT_MILLIBPS / rng.randint(1, 3),
        protection=rng.choice(protections),
        max_hops=rng.choice([None, None, None, 2, 3]),
    )
    if rng.random() < 0.25:
        spec = replace(
            spec,
            exclude_sites=frozenset(rng.sample(sites, rng.randint(0, 1))),
            exclude_channels=frozenset(rng.sample(channels, rng.randint(0, 1))),
        )
    if rng.random() < 0.25:
        spec = replace(
            spec,
            include_sites=tuple(rng.sample(sites, rng.randint(0, 2))),
            include_channels=tuple(rng.sample(channels, rng.randint(0, 1))),
        )
    return spec


def back(rng: random.Random, spec: ConnectionSpec) -> ConnectionSpec:
    """The same, mostly with another bandwidth back than there."""
    return replace(spec, reverse_bandwidth_kbps=rng.choice([None, 0, 1, 1, 5_000, 10_000, 20_000]))


def small_connection(
    seed: int,
    network: Network,
    protection: Protection = Protection.NONE,
    *,
    is_directed: bool = False,
    is_eased: bool = False,
) -> ConnectionRequest:
    rng = seeded(seed)
    src, dst = rng.sample(network.topology.site_names, 2)
    spec = small_spec(rng, network, (protection,))
    if is_eased:
        spec = replace(_eased(rng, spec), bandwidth_kbps=rng.choice([1, 3_000, 5_000, 5_000, 7_500]))
    return ConnectionRequest("s", "c", Role.ACCESS, src, dst, back(rng, spec) if is_directed else spec)


def small_slice(seed: int, network: Network, limits: SmallLimits = SmallLimits()) -> SliceRequest:
    rng = seeded(seed)
    protections = (Protection.NONE,) * 6 + (Protection.ONE_PLUS_ONE,)
    by_role = {role: _eased(rng, small_spec(rng, network, protections)) for role in Role}
    names = network.topology.site_names
    core, *rest = rng.sample(names, len(names))
    cells = tuple(rest[: rng.randint(1, min(limits.cells, len(rest) - 1))])
    site = rng.choice([None, None, rng.choice(rest)])
    shape = ThreeRoles(cells, ComputeRequest(site, rng.choice([0, 1, 1, 2]), 1), core, by_role)
    return SliceRequest("s", SNssai(1), shape)


def _eased(rng: random.Random, spec: ConnectionSpec) -> ConnectionSpec:
    """Three tight connections are hardly ever feasible together: most are eased, to compete for bandwidth."""
    if rng.random() >= 0.85:
        return spec
    return ConnectionSpec(
        SecurityRequirement(rng.choice([(NONE,), (NONE,), (DH,), (QRA,), (QKD,)])),
        bandwidth_kbps=rng.choice([5_000, 9_999, 10_000, 10_000]),
        latency_us=rng.choice([200, 300, 10**6, 10**6]),
        rekey_s=spec.rekey_s,
        protection=spec.protection,
    )


def small_listed(seed: int, network: Network) -> SliceRequest:
    """Connections between any sites, often the same ones, that mostly ask for another bandwidth there than back.

    Two with one of them protected, or three: the oracle tries every combination of ways and pairs of ways.
    """
    rng = seeded(seed)
    is_protected = rng.random() < 0.5
    listed: list[NamedConnection] = []
    for number in range(2 if is_protected else 3):
        protection = rng.choice((Protection.ONE_PLUS_ONE, Protection.ONE_TO_ONE))
        protections = (protection if is_protected and not number else Protection.NONE,)
        ends = rng.sample(network.topology.site_names, 2)
        if listed and rng.random() < 0.5:
            ends = rng.sample([listed[0].src, listed[0].dst], 2)
        spec = back(rng, _eased(rng, small_spec(rng, network, protections)))
        needs = (Compute(rng.choice([0, 0, 0, 1]), rng.choice([0, 0, 1])) for _ in range(2))
        listed.append(NamedConnection(f"c{number}", ends[0], ends[1], spec, *needs))
    return SliceRequest("s", SNssai(1), AnyShape(tuple(listed)))
