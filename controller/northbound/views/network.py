"""The topology and what each switch holds, as the JSON of the northbound API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controller.forwarding.items import (
    IN_PORT,
    Action,
    Group,
    Item,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.model.events import SectionState
from controller.model.key_rates import SectionStatus
from controller.model.operator_policy import OperatorPolicy
from controller.northbound.views.wavelengths import wavelength_view
from controller.pce.network import Network


def switch_view(items: Iterable[Item]) -> dict[str, Any]:
    """Rules, meters and groups of one switch, in a stable order."""
    items = tuple(items)
    rules = [i for i in items if isinstance(i, Rule)]
    meters = [i for i in items if isinstance(i, Meter)]
    groups = [i for i in items if isinstance(i, Group)]
    return {
        "rules": [
            {
                "priority": r.priority,
                "match": dict(r.match),
                "actions": [action_text(a) for a in r.actions],
                "cookie": f"{r.cookie:#018x}",
                "meter": r.meter,
            }
            for r in sorted(rules, key=lambda r: (-r.priority, repr(r.match)))
        ],
        "meters": [
            {"id": m.id, "rate_kbps": m.rate_kbps, "burst_kbits": m.burst_kbits}
            for m in sorted(meters, key=lambda m: m.id)
        ],
        "groups": [
            {
                "id": g.id,
                "type": g.type.value,
                "buckets": [
                    {"actions": [action_text(a) for a in b.actions], "watch_port": b.watch_port} for b in g.buckets
                ],
            }
            for g in sorted(groups, key=lambda g: g.id)
        ],
    }


def action_text(action: Action) -> str:
    """An action as ovs-ofctl writes it, near enough to be recognised."""
    match action:
        case Output(port):
            return "in_port" if port == IN_PORT else f"output:{port}"
        case PushVlan(ethertype):
            return f"push_vlan:{ethertype:#06x}"
        case PopVlan():
            return "pop_vlan"
        case SetField(field, value):
            return f"set_field:{value}->{field}"
        case Move(source, target, bits):
            return f"move:{source}->{target} ({bits} bits)"
        case ToGroup(group):
            return f"group:{group}"


def _channel_state(network: Network, channel_id: str) -> str:
    if network.is_dark(channel_id):
        return "dark"
    return "up" if network.is_channel_up(channel_id) else "down"


def section_state(sections: Mapping[str, SectionStatus], section_id: str) -> SectionState:
    """UNKNOWN also before the KMS has been asked."""
    return SectionState.of(sections[section_id]) if section_id in sections else SectionState.UNKNOWN


def _rate_bps(sections: Mapping[str, SectionStatus], section_id: str) -> float | None:
    is_unknown = section_state(sections, section_id) is SectionState.UNKNOWN
    return None if is_unknown else sections[section_id].rate_millibps / 1000


def policy_view(policy: OperatorPolicy) -> dict[str, Any]:
    """What the operator decides for all slices."""
    return {"always": [method.label for method in policy.always], "cost_profile": policy.cost_profile.value}


def topology_view(network: Network, sections: Mapping[str, SectionStatus], faults: Mapping[str, str]) -> dict[str, Any]:
    """Sites, channels and sections with their states and what is reserved on them."""
    topology = network.topology
    return {
        "name": topology.name,
        "description": topology.description,
        "allocation": topology.allocation.value,
        "latency_model": vars(network.index.latency),
        "sites": [
            {
                "name": s.name,
                "tier": s.tier.value,
                "x": s.x,
                "y": s.y,
                "vcpus": s.vcpus,
                "memory_gb": s.memory_gb,
                "free_vcpus": network.free_compute(s.name)[0],
                "free_memory_gb": network.free_compute(s.name)[1],
            }
            for s in topology.sites
        ],
        "wavelengths": [wavelength_view(network, w.id) for w in topology.wavelengths],
        "channels": [
            {
                "id": c.id,
                "a": c.a,
                "b": c.b,
                "a_interface": topology.port_of(c.a, c.id).interface,
                "b_interface": topology.port_of(c.b, c.id).interface,
                "class": c.security.label,
                "wavelength": c.wavelength,
                "length_km": c.length_km,
                "state": _channel_state(network, c.id),
                "is_spare": c.dark,
                "capacity_mbps": c.capacity_mbps,
                "reserved_mbps": network.reserved_kbps(c.id) / 1000,
                "reserved_from_a_mbps": network.reserved_kbps(c.id, c.a) / 1000,
                "reserved_from_b_mbps": network.reserved_kbps(c.id, c.b) / 1000,
            }
            for c in topology.channels
        ],
        "sections": [
            {
                "id": s.id,
                "a": s.a,
                "b": s.b,
                "length_km": s.length_km,
                "state": section_state(sections, s.id).value,
                "rate_bps": _rate_bps(sections, s.id),
                "reserved_bps": network.reserved_key_millibps(s.id) / 1000,
                "qber": sections[s.id].qber if s.id in sections else None,
                "secure": sections[s.id].is_secure if s.id in sections else None,
            }
            for s in topology.sections
        ],
        "qkd_links": [{"id": q.id, "a": q.a, "b": q.b, "sections": list(q.sections)} for q in topology.qkd_links],
        "vendor_links": [
            {"id": link, "a": site.name, "b": peer, "url": site.kme.url, "rate_bps": None}
            for site in topology.sites
            if site.kme is not None
            for peer in site.kme.qkd_with
            if site.name < peer and (link := topology.vendor_link(site.name, peer)) is not None
        ],
        "faults": sorted(faults.values()),
    }
