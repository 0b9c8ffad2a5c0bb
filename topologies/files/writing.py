"""A topology as a document in its full form, and documents as YAML and JSON: one line for each element. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from topologies.files.schema import QkdPart
from topologies.spec import Allocation, Topology

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MEANT_OTHERWISE = {"true", "false", "null", "yes", "no", "on", "off"}  # by YAML 1.2, or by 1.1


def to_document(topology: Topology) -> dict[str, Any]:
    """The full form; :func:`topologies.files.parse_document` is its inverse at the scale 1."""
    document: dict[str, Any] = {"name": topology.name, "description": topology.description}
    if not topology.shaped:
        document["shaped"] = False
    if topology.allocation is not Allocation.SHARED:
        document["allocation"] = topology.allocation.value
    return document | {
        "sites": [
            {
                "name": s.name, **({"label": s.label} if s.label else {}),
                "tier": s.tier.value, "vcpus": s.vcpus, "memory_gb": s.memory_gb, "x": s.x, "y": s.y,
                **({"kme": s.kme.to_dict()} if s.kme is not None else {}), **({"attach": s.attach} if s.attach else {}),
                **({"optical_switch": True} if s.optical_switch else {}),
            }
            for s in topology.sites
        ],
        "wavelengths": [
            {
                "id": w.id, "class": w.security.label, "capacity_gbps": w.capacity_gbps * topology.mbps_per_gbps,
                "client_ports": w.client_ports, "client_gbps": w.client_gbps * topology.mbps_per_gbps,
                "encryptor": w.encryptor, **({"ends": list(w.ends)} if w.ends else {}),
            }
            for w in topology.wavelengths
        ],
        "channels": [
            {
                "id": c.id, "a": c.a, "b": c.b, "wavelength": c.wavelength, "km": c.length_km,
                "capacity_gbps": c.capacity_mbps, "risk_groups": sorted(c.risk_groups - {c.wavelength}), "dark": c.dark,
                **({"attached": True} if c.attached else {}),
            }
            for c in topology.channels
        ],
        "sections": [
            {
                "id": s.id, "a": s.a, "b": s.b, "km": s.length_km, "risk_groups": sorted(s.risk_groups),
                **{n: getattr(s, n) for n in QkdPart.model_fields},
            }
            for s in topology.sections
        ],
        "qkd_links": [{"id": q.id, "a": q.a, "b": q.b, "sections": list(q.sections)} for q in topology.qkd_links],
    }  # fmt: skip


def to_json(document: Mapping[str, Any]) -> str:
    """The document in JSON."""
    return json.dumps(document, indent=1) + "\n"


def to_yaml(document: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """The document in YAML that 1.1 and 1.2 read alike, under lines of comment: what was assumed, for instance."""
    lines = [f"# {line}".rstrip() for comment in comments for line in comment.splitlines() or [""]]
    for key, value in document.items():
        if isinstance(value, list | tuple) and value:
            lines += [f"{key}:", *(f"  - {_flow(each)}" for each in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key))}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        # YAML 1.1 takes 1e-06 for text.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value)) if math.isfinite(value) else json.dumps(str(value))
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _MEANT_OTHERWISE:
        return text
    # As JSON writes it, but a half of a character is no character of YAML 1.1.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
