"""References of requests and topology files from their schemas; run as a module it writes them to docs/reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scripts.cli.commands.slices.templates import request_schema
from scripts.testbed.paths import REPOSITORY
from topologies.files import json_schema

Schema = Mapping[str, Any]

SLICES = """\
# The slice request

What `slice create FILE` and `POST /v1/slices` take, in YAML or JSON; `slice schema` prints the JSON Schema for editors,
`slice template` a file to begin with. Unknown fields are refused by name. Field names follow 3GPP TS 28.541 where it
has one. [What the fields do](api.md#slices); [the words](glossary.md#slices).
"""
TOPOLOGIES = """\
# The topology file

What `--topo FILE` takes, in YAML or JSON; `topo schema` prints the JSON Schema for editors, `topo validate FILE` what
is wrong, by line. Unknown fields are refused by name. [How to write one](../how-to/own-network.md); [the
words](glossary.md#network).
"""

# What a field means wherever the schema does not say it: its name is the same thing in every mapping.
MEANINGS = {
    "a": "One end; directions count from here.",
    "abort_qber": "The error rate above which a section stops: at most 11 %, the limit of BB84.",
    "access": "Between each cell and the compute site: users' data.",
    "afterpulse_probability": "That a click is followed by a false one.",
    "attenuation_db_per_km": "Loss of the fibre, dB/km.",
    "b": "The other end.",
    "backhaul": "Between the compute site and the core.",
    "bandwidth_mbps": "Reserved along the path, Mbit/s; a meter holds traffic to it.",
    "capacity_gbps": "Gbit/s; emulated as Mbit/s unless `up --scale` says otherwise.",
    "cells": "The sites where users connect.",
    "channels": "The circuits between sites, of which paths consist.",
    "class": "The class of key exchange that it offers.",
    "client_gbps": "Of one client port, Gbit/s.",
    "client_ports": "How many its wavelength has.",
    "compute": "What the application needs, and where it runs.",
    "connections": "What runs between which sites, and what each needs.",
    "control": "Between each cell and the core: signalling.",
    "core": "The core site.",
    "dark": "A spare: its ports stay administratively down until no path exists without it.",
    "dead_time_us": "How long a detector is blind after a click, microseconds.",
    "count": "How many times, in all.",
    "description": "For people.",
    "detector_efficiency": "That a photon is detected.",
    "encryptor": "Whether the wavelength's cards encrypt.",
    "end": "When the slice is deleted (RFC 3339).",
    "every": "From one beginning to the next: `P1D`, `P2W`, `PT12H`.",
    "exclude_channels": "Channels that its path must not use.",
    "exclude_sites": "Sites that its path must not cross.",
    "fallback": "Lower levels, in order, that will do while the level asked for has no path or no keys.",
    "fibres": "Adjacencies with all that is on them: the compact form.",
    "from": "The site at one end; or what is needed there.",
    "id": "Its name, unique in the network.",
    "include_channels": "Channels that its path must use.",
    "include_sites": "Sites that its path must cross.",
    "km": "Length, km: 4.9 us of latency each.",
    "latency_ms": "Of the path, one way, at most.",
    "match": "Whether channels of a higher class will do as well.",
    "max_hops": "Channels in the path, at most.",
    "memory_gb": "Memory, GB.",
    "misalignment": "That a photon reaches the wrong detector.",
    "name": "Its name, unique among its like.",
    "padding": "Against traffic analysis: full packets, or a full packet at every slot.",
    "priority": "Who is served first when not everything fits.",
    "protection": "What stands ready for a failure.",
    "protocol": "Decoy-state BB84, or coherent one-way (not secure).",
    "pulse_rate_hz": "Pulses of the laser, Hz.",
    "rekey_s": "How often keys change, seconds.",
    "reverse_bandwidth_mbps": "From the destination back to the source; the same where it is not given.",
    "sNSSAI": "The slice's type and differentiator.",
    "schedule": "When it comes and goes, again and again, in place of `start` and `end`.",
    "sd": "Slice differentiator, six hexadecimal digits.",
    "sections": "QKD sections: of the network, or in the order in which a link crosses them.",
    "site": "Where the application runs; `auto`: the cheapest that fits.",
    "sites": "The places, each with a switch, a host and a KME.",
    "sst": "Slice/service type: 1 is eMBB, 2 URLLC, 3 MIoT.",
    "start": "When the slice is created (RFC 3339); at once where it is not given. Of a schedule: the first time.",
    "stop": "When the slice goes for the first time (RFC 3339); every time it is there as long.",
    "suite": "How the tunnel encrypts; `x-NAME`: an extension's suite.",
    "time_zone": "Whose days they are, such as `Europe/London`.",
    "tier": "Cell, aggregation, metro or core.",
    "to": "The site at the other end; or what is needed there.",
    "until": "None begins later (RFC 3339).",
    "vcpus": "Processors.",
    "wavelength": "The wavelength that carries it.",
}


def reference(schema: Schema, title: str, root: str) -> str:
    """A heading and a table for each kind of mapping; ``root`` names the outermost."""
    shown = []
    for name, part in {root: schema, **schema.get("$defs", {})}.items():
        shown += [_part(each["title"], each) for each in part.get("oneOf", [{**part, "title": name}])]
    return "\n".join([title, *filter(None, shown)])


def _part(name: str, part: Schema) -> str:
    """Empty where it has no fields."""
    if not part.get("properties"):
        return ""
    required = part.get("required", [])
    about = _text(part.get("description", ""))
    lines = [f"## {heading(name)}\n", *([f"{about}\n"] if about else [])]
    lines += ["| field | what it takes | default | meaning |", "| --- | --- | --- | --- |"]
    for field, value in part["properties"].items():
        default = "required" if field in required else f"`{json.dumps(value['default'])}`" if "default" in value else ""
        cells = (f"`{field}`", _kind(value), default, _text(value.get("description", MEANINGS.get(field, ""))))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def heading(name: str) -> str:
    """``SitePart`` as a reader knows it: site."""
    plain = name.removesuffix("Part").removesuffix("Wire")
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in plain).strip()
    return {"s nssai": "S-NSSAI", "kme": "KME", "qkd link": "QKD link"}.get(
        words, words[:1].upper() + words[1:].replace("qkd", "QKD")
    )


def _text(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _kind(value: Schema) -> str:
    """What a value may be, in words and limits."""
    if "$ref" in value:
        name = heading(str(value["$ref"]).rpartition("/")[2])
        return f"[{name}](#{name.lower().replace(' ', '-')})"
    if "anyOf" in value:
        kinds = [_kind(each) for each in value["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in value:
        return ", ".join(f"`{_plain(each)}`" for each in value["enum"])
    kind = value.get("type", "")
    if kind == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if kind in ("integer", "number"):
        return f"{'whole number' if kind == 'integer' else 'number'}{_limits(value)}"
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "object":
        names = ", ".join(f"`{name}`" for name in value.get("properties", {}))
        return f"mapping of {names}" if names else "mapping"
    return "text" if kind == "string" else kind


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _limits(value: Schema) -> str:
    least, above = value.get("minimum"), value.get("exclusiveMinimum")
    most, below = value.get("maximum"), value.get("exclusiveMaximum")
    low = f"from {least:,.10g}" if least is not None else f"above {above:,.10g}" if above is not None else ""
    high = f"to {most:,.10g}" if most is not None else f"below {below:,.10g}" if below is not None else ""
    return f" {low} {high}".rstrip() if low or high else ""


def documents() -> dict[str, str]:
    """Both documents by file name."""
    return {
        "slice-request.md": reference(request_schema(), SLICES, "Slice"),
        "topology-file.md": reference(json_schema(), TOPOLOGIES, "Network"),
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (REPOSITORY / "docs/reference" / name).write_text(text, encoding="utf-8")
