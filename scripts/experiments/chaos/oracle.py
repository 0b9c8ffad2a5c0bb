"""What must hold whenever the network is quiet, judged by other means than those that the controller uses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from scripts.experiments.chaos.rules import differences
from scripts.experiments.levels import class_on, is_sealed, too_weak
from scripts.testbed.faults import Faults, effects, surviving_channels
from topologies.spec import Channel, EncryptionMode, SecurityClass, Topology

KEY_BITS = 256
FIRST_ADDRESS = ipaddress.IPv4Address("10.200.0.0")
COOKIE_MARK = 0x5153
DEFAULT_REKEY_S = 3.0


@dataclass(frozen=True)
class Observation:
    """Everything that was seen at one quiet moment."""

    slices: Sequence[Mapping[str, Any]]  # GET /v1/slices
    channels: Sequence[Mapping[str, Any]]  # GET /v1/topology
    sections: Sequence[Mapping[str, Any]]  # GET /v1/topology
    keys: Mapping[str, float]  # what the KMS itself says: secret bits per second of each usable section
    answering: Collection[str]  # connections whose echo requests are answered
    cookies: Mapping[str, Collection[int]]  # of the rules on each site's switch
    faults: Faults = ()
    held: Mapping[str, Collection[str]] = field(default_factory=dict)  # what each site's switch holds
    intended: Mapping[str, Collection[str]] = field(default_factory=dict)  # what the controller says that it shall
    leaks: Sequence[str] = field(default=())  # pairs that share no connection and reach each other
    encryption: EncryptionMode = EncryptionMode.HOST
    switch_us: int = 0  # what the controller says that it counts for a switch, one way
    tunnel_us: int = 0  # and for a tunnel's two ends
    carriers: Collection[str] = ()  # channels that cards seal and whose ports have carrier at both ends

    @property
    def connections(self) -> dict[str, Mapping[str, Any]]:
        return {f"{s['name']}/{c['name']}": c for s in self.slices for c in s["connections"]}


def judge(topology: Topology, seen: Observation) -> list[str]:
    """Everything that is not as it must be; empty when all is well."""
    return [
        *_residuals(seen),
        *_states(topology, seen),
        *_cards(topology, seen),
        *_rules(topology, seen),
        *_contents(topology, seen),
        *(f"a packet passed between endpoints that share no connection: {leak}" for leak in seen.leaks),
    ]


def _residuals(seen: Observation) -> list[str]:
    wrong = [
        f"{c['reserved_mbps']} of {c['capacity_mbps']} Mbit/s are reserved on {c['id']}"
        for c in seen.channels
        if not 0 <= c["reserved_mbps"] <= c["capacity_mbps"]
    ]
    wrong += [f"{s['reserved_bps']} bit/s of key reserved on {s['id']}" for s in seen.sections if s["reserved_bps"] < 0]
    sums: dict[str, float] = {}
    for view in seen.connections.values():
        for lane in (view["path"], (view.get("backup") or {}).get("path", ())):
            for channel in lane:
                sums[channel] = sums.get(channel, 0.0) + view["bandwidth_mbps"]
    for c in seen.channels:
        if abs(sums.get(c["id"], 0.0) - c["reserved_mbps"]) > 1e-6:
            wrong.append(
                f"{c['reserved_mbps']} Mbit/s reserved on {c['id']}, its connections need {sums.get(c['id'], 0)}"
            )
    return wrong


def _states(topology: Topology, seen: Observation) -> list[str]:
    wrong = []
    alive = _alive(topology, seen)
    for record in seen.slices:
        states = {c["state"].lower() for c in record["connections"]}
        expected = "active" if states == {"active"} else "degraded"
        if record["state"].lower() != expected:
            wrong.append(f"slice {record['name']} is {record['state']}, its connections {', '.join(sorted(states))}")
        for view in record["connections"]:
            name = f"{record['name']}/{view['name']}"
            wrong += _connection(topology, seen, record["request"], name, view, alive)
    return wrong


def _connection(
    topology: Topology,
    seen: Observation,
    request: Mapping[str, Any],
    name: str,
    view: Mapping[str, Any],
    alive: frozenset[str],
) -> list[str]:
    weak = too_weak(topology, name, view, seen.encryption)
    wrong = [weak] if weak else []
    state = view["state"].lower()
    if state == "active":
        dark = {c["id"] for c in seen.channels if c.get("state") == "dark"}
        dead = [c for c in view["path"] if c not in alive or c in dark]
        if not view["path"]:
            wrong.append(f"{name} is ACTIVE without a path")
        elif dead:
            wrong.append(f"{name} is ACTIVE on {', '.join(dead)}, which carries nothing")
        elif name not in seen.answering:
            wrong.append(f"{name} is ACTIVE and answers no probe")
        if _is_on_fallback(seen, view) and is_feasible(topology, seen, request, view):
            wrong.append(f"{name} is on the fallback {view['level']}, but there is a way for it at {view['required']}")
    elif state == "degraded":
        if not view.get("reason"):
            wrong.append(f"{name} is DEGRADED without a reason")
        elif view["protection"] == "none":
            if not seen.faults and alive.issuperset(view["path"]):
                wrong.append(f"{name} is DEGRADED ({view['reason']}), but nothing is broken any more")
        else:
            for level in (view["required"], *view.get("fallback", ())):
                if is_feasible(topology, seen, request, view, level):
                    at = "" if level == view["required"] else f" on its fallback {level}"
                    wrong.append(f"{name} is DEGRADED ({view['reason']}), but there is a way for it{at}")
    else:
        wrong.append(f"{name} is still {view['state']} although nothing changes any more")
    return wrong


def is_feasible(
    topology: Topology,
    seen: Observation,
    request: Mapping[str, Any],
    view: Mapping[str, Any],
    level: str | None = None,
) -> bool:
    """Whether a path exists under the faults, with the bandwidth, class, latency and keys asked for.

    Shortest latency by networkx: if even that is too long, or there is none, there is no path. Dark channels count:
    they can be activated. What the connection holds counts as free. ``level`` is a fallback; None: the level asked for.
    """
    asked = request["connections"][view["role"]]
    required = SecurityClass.parse(level or str(view["required"]))
    is_exact = view.get("match") == "exact"
    residual = {c["id"]: c["capacity_mbps"] - c["reserved_mbps"] for c in seen.channels}
    for lane in (view["path"], (view.get("backup") or {}).get("path", ())):
        for channel_id in lane:
            residual[channel_id] += view["bandwidth_mbps"]
    alive = _alive(topology, seen)
    graph = nx.MultiGraph()
    graph.add_nodes_from(topology.site_names)
    for channel in topology.channels:
        offered = class_on(topology, channel.id, seen.encryption)
        fits = offered is required if is_exact else offered >= required
        if channel.id in alive and fits and residual[channel.id] >= view["bandwidth_mbps"] - 1e-9:
            graph.add_edge(channel.a, channel.b, key=channel.id, latency=_latency_ms(channel, seen.switch_us))
    try:
        latency = nx.shortest_path_length(graph, view["src"], view["dst"], weight="latency")
    except nx.NetworkXNoPath:
        return False
    # The controller rounds each channel up to a microsecond; within that much the answer may go either way.
    is_sealed = seen.encryption.hosts_seal and required is not SecurityClass.NONE
    fixed_us = seen.switch_us + (seen.tunnel_us if is_sealed else 0)
    if latency > asked["latency_ms"] - fixed_us / 1000 - 0.001 * len(topology.channels):
        return False
    sources = asked["security"] if level in (None, view["required"]) else level
    return not seen.encryption.hosts_seal or "qkd" not in sources or _has_keys(topology, seen, view, asked)


def _has_keys(topology: Topology, seen: Observation, view: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a relay of QKD links has the key rate left between the two sites."""
    needed = KEY_BITS / float(asked.get("rekey_s", DEFAULT_REKEY_S))
    reserved = {s["id"]: s["reserved_bps"] for s in seen.sections}
    state = effects(topology, seen.faults)
    tapped = {*state.eavesdropped, *state.unlit}
    graph = nx.Graph()
    graph.add_nodes_from(topology.site_names)
    for link in topology.qkd_links:
        spare = [seen.keys.get(s, 0.0) - reserved.get(s, 0.0) for s in link.sections]
        if not any(s in tapped for s in link.sections) and min(spare, default=0.0) >= needed:
            graph.add_edge(link.a, link.b)
    return bool(nx.has_path(graph, view["src"], view["dst"]))


def _alive(topology: Topology, seen: Observation) -> frozenset[str]:
    """Channels that carry packets both ways: no fault forbids it, and where cards seal they have a key."""
    surviving = surviving_channels(topology, seen.faults)
    return frozenset(
        c for c in surviving if not is_sealed(topology, c, seen.encryption) or c in seen.carriers or _is_dark(seen, c)
    )


def _is_dark(seen: Observation, channel_id: str) -> bool:
    return any(c["id"] == channel_id and c.get("state") == "dark" for c in seen.channels)


def _is_on_fallback(seen: Observation, view: Mapping[str, Any]) -> bool:
    if seen.encryption.hosts_seal:
        return bool(view.get("level", view["required"]) != view["required"])
    return bool(view["is_on_fallback"])


def _cards(topology: Topology, seen: Observation) -> list[str]:
    """Where nothing is broken every pair of cards has a key, and its clients carrier."""
    if seen.faults:
        return []
    return [
        f"{c.id} has no carrier: the cards of {c.wavelength} have no key, although nothing is broken any more"
        for c in topology.channels
        if is_sealed(topology, c.id, seen.encryption) and c.id not in seen.carriers and not _is_dark(seen, c.id)
    ]


def _rules(topology: Topology, seen: Observation) -> list[str]:
    """Every connection has rules at the sites of its paths and nowhere else; every rule belongs to a connection."""
    wrong = []
    names = {connection_number(view["src_address"]): name for name, view in seen.connections.items()}
    sites_with: dict[str, set[str]] = {}
    for site, cookies in seen.cookies.items():
        for number in {n for n in map(number_of_cookie, cookies) if n is not None}:
            if number in names:
                sites_with.setdefault(names[number], set()).add(site)
            else:
                wrong.append(f"the switch at {site} has rules of connection number {number}, which does not exist")
    off = effects(topology, seen.faults).off
    for name, view in seen.connections.items():
        backup = view.get("backup") or {}
        intended = {*view["sites"], *backup.get("sites", ())} - off
        present = sites_with.get(name, set()) - off
        if missing := sorted(intended - present):
            wrong.append(f"{name} has no rules at {', '.join(missing)}")
        if excess := sorted(present - intended):
            wrong.append(f"{name} has rules at {', '.join(excess)}, where it does not pass")
    return wrong


def _contents(topology: Topology, seen: Observation) -> list[str]:
    """Rules, meters and groups are word for word what the controller intends, where there is power."""
    off = effects(topology, seen.faults).off
    sites = [site for site in topology.site_names if site in seen.intended and site not in off]
    return [what for site in sites for what in differences(site, seen.intended[site], seen.held.get(site, ()))]


def number_of_cookie(cookie: int) -> int | None:
    """The connection's number in a rule's cookie; None for shared and foreign rules."""
    number = cookie >> 24 & 0xFF_FFFF
    return number - 1 if cookie >> 48 == COOKIE_MARK and number else None


def connection_number(src_address: str) -> int:
    """The number that a connection's addresses follow from."""
    return (int(ipaddress.IPv4Address(src_address)) - int(FIRST_ADDRESS)) // 2


def _latency_ms(channel: Channel, switch_us: int) -> float:
    return (channel.delay_us + switch_us) / 1000
