"""``report.html`` from the contents of ``report.json``: one page, readable without a server or a network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from scripts.demo.plot import draw_outage
from scripts.measure.capture.frames import hex_dump
from scripts.report.html_style import STYLE
from scripts.report.provenance import sentence
from scripts.report.topology_svg import MAIN, SMALL, Emphasis, draw_topology
from topologies.spec import SecurityClass, Topology, topology_from_dict

CLASS_NAMES = {
    SecurityClass.NONE: "no encryption",
    SecurityClass.DH: "Diffie-Hellman + AES",
    SecurityClass.QRA: "quantum-resistant algorithm + AES",
    SecurityClass.QKD: "quantum key distribution + AES",
}
UNKNOWN = "–"

Json = Mapping[str, Any]


def render(report: Json) -> str:
    """The page; also well-formed XML, so that it can be checked as such."""
    topology = topology_from_dict(report["network"])
    body = "".join(
        (
            _header(report, topology),
            _tiles(report),
            _network(topology),
            *(_slice(s, topology) for s in report["slices"]),
            _eavesdropper(report),
            _failure(report["failure"], topology),
            _checks(report["checks"]),
            _footer(),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>QSlice demo: {escape(report['topology'])}</title><style>{escape(STYLE, quote=False)}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _header(report: Json, topology: Topology) -> str:
    checks = report["checks"]
    failed = [c for c in checks if not c["ok"]]
    if report["ok"]:
        pill = f'<span class="pill good">✓ all {len(checks)} checks held</span>'
    else:
        pill = f'<span class="pill bad">✗ {len(failed)} of {len(checks)} checks failed</span>'
    complaints = "".join(f"<li><b>{escape(c['name'])}</b>: {escape(c['detail'])}</li>" for c in failed)
    return (
        f"<header><h1>Network slices with quantum-safe security</h1>{pill}"
        f'<p class="soft">{escape(topology.name)}: {escape(topology.description)}. '
        f"Open vSwitch datapath: {escape(report['datapath'])}.{_slowness(report['slowness'])}</p>"
        f'<p class="soft">{escape(sentence(report["provenance"]))}.</p></header>'
        + (f'<ul class="bad">{complaints}</ul>' if complaints else "")
        + _remarks(report["remarks"])
    )


def _remarks(remarks: Sequence[str]) -> str:
    if not remarks:
        return ""
    listed = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    return f'<div class="card"><h3>What this network cannot show, and why</h3><ul>{listed}</ul></div>'


def _slowness(factor: float) -> str:
    """What a reader must know before he reads a figure."""
    return f" Loads and limits of time are for processors {factor:g} times as slow as real ones." if factor > 1 else ""


def _tiles(report: Json) -> str:
    connections = [c for s in report["slices"] for c in s["connections"]]
    measured = [c["ping_loss_pct"] for c in connections if c["ping_loss_pct"] is not None]
    secret = [c for c in connections if c["required"] != "none"]
    hidden = sum(c["ciphertext_only"] is True for c in secret)
    rekeys = [c["rekeys"] for c in secret if c["rekeys"] is not None]
    lost = sum(c["rekey_loss"] or 0 for c in secret)
    isolation, failure = report["isolation"], report["failure"]
    tiles = (
        (_number(max(measured, default=None), 1), "%", "worst ping loss", f"{len(connections)} connections"),
        (f"{hidden}/{len(secret)}", "", "show ciphertext only", "of the encrypted connections, on every channel"),
        (
            _number(isolation["reachable"], 0),
            f"of {isolation['pairs']}",
            "pairs reachable",
            "that share no connection",
        ),
        (_number(min(rekeys, default=None), 0), "", "rekeys each, under load", f"{lost} packets lost"),
        (_number(failure["outage_ms"], 0), "ms", "outage after a cut", _kept(failure["security_kept"])),
        (_number(report["total_s"], 0), "s", "in all", f"{_number(report['setup_s'], 1)} s of it bringing it up"),
    )
    return '<div class="tiles">' + "".join(_tile(*tile) for tile in tiles) + "</div>"


def _tile(value: str, unit: str, label: str, more: str) -> str:
    unit = f" <small>{escape(unit)}</small>" if unit and value != UNKNOWN else ""
    return (
        f'<div class="tile"><b>{escape(value)}{unit}</b><span>{escape(label)}</span><span>{escape(more)}</span></div>'
    )


def _kept(kept: bool | None) -> str:
    return {True: "security level kept", False: "security level NOT kept", None: "not measured"}[kept]


def _network(topology: Topology) -> str:
    present = sorted({c.security for c in topology.channels})
    return (
        "<h2>The network</h2>"
        '<p class="soft">Every line is one channel between two sites; its colour and dashes say how its keys are made. '
        "A path may use a channel of the level that was asked for or of a higher one.</p>"
        f'<div class="card">{draw_topology(topology, MAIN, f"Topology {topology.name}")}{_legend(present)}'
        f"{_sections(topology)}</div>"
    )


def _sections(topology: Topology) -> str:
    """How the keys of the QKD sections are made: simulated step by step, or by their rate alone."""
    how = {"full": "every step simulated", "rate": "rate model"}
    entries = ", ".join(
        f"{escape(s.id)} {s.length_km:g} km ({s.protocol.upper()}, {how[s.model]}"
        f"{', not secure' if s.protocol == 'cow' else ''})"
        for s in topology.sections
    )
    return f'<p class="soft">QKD sections: {entries}.</p>' if entries else ""


def _legend(classes: Iterable[SecurityClass]) -> str:
    entries = "".join(
        f'<span><svg viewBox="0 0 44 10" aria-hidden="true"><path class="ch {c.label}" d="M2 5H42"/></svg>'
        f"<span><b>{c.label}</b> {escape(CLASS_NAMES[c])}</span></span>"
        for c in classes
    )
    return f'<div class="legend">{entries}</div>'


def _slice(entry: Json, topology: Topology) -> str:
    used: dict[str, list[str]] = {}
    for c in entry["connections"]:
        for channel in c["path"]:
            used.setdefault(channel, []).append(c["name"])
    drawing = draw_topology(topology, SMALL, f"Paths of {entry['name']}", Emphasis(used, only=True))
    head = ("connection", "between", "keys", "path", "ping loss", "RTT", "iperf3", "on the wire", "rekeys", "lost")
    rows = "".join(_connection(c, topology) for c in entry["connections"])
    facts = (
        ("provisioned in", _number(entry["provision_ms"], 0), "ms"),
        ("first packets through after", _number(entry["first_packet_ms"], 0), "ms"),
        ("deleted in", _number(entry["deprovision_ms"], 0), "ms"),
    )
    return (
        f"<h2>Slice {escape(entry['name'])}</h2>"
        + '<div class="facts">'
        + "".join(f"<span>{label} <b>{value} {unit}</b></span>" for label, value, unit in facts)
        + f'</div><div class="pair"><div class="card">{drawing}</div>'
        + f'<div class="card"><h3>What was asked for</h3>{_requirements(entry["connections"])}</div></div>'
        + f'<div class="card"><table>{_row(head, "th", numeric=(4, 5, 6, 8, 9))}{rows}</table></div>'
    )


def _requirements(connections: Sequence[Json]) -> str:
    rows = "".join(
        f'<tr><td class="nw">{escape(c["src"])} → {escape(c["dst"])}</td><td>{_key(c["required"])}</td>'
        f'<td class="num nw">{c["reserved_mbps"]:g} Mbit/s</td><td class="soft nw">{escape(c["src_address"])} – '
        f"{escape(c['dst_address'])}</td></tr>"
        for c in connections
    )
    head = '<tr><th>from, to</th><th>at least</th><th class="num">reserved</th><th>addresses</th></tr>'
    return f"<table>{head}{rows}</table>"


def _connection(c: Json, topology: Topology) -> str:
    cells = (
        f"<b>{escape(c['name'])}</b>",
        f"{escape(c['src'])} → {escape(c['dst'])}",
        _key(c["key_source"]),
        _hops(c["src"], c["path"], topology),
        _number(c["ping_loss_pct"], 1, " %"),
        _number(c["rtt_ms"], 2, " ms"),
        _number(c["iperf_mbps"], 1, f" of {c['reserved_mbps']:g} Mbit/s"),
        _on_the_wire(c),
        _number(c["rekeys"], 0),
        _number(c["rekey_loss"], 0),
    )
    return _row(cells, "td", numeric=(4, 5, 6, 8, 9))


def _row(cells: Sequence[str], tag: str, numeric: Sequence[int] = ()) -> str:
    return (
        "<tr>"
        + "".join(
            f'<{tag} class="{"num nw" if n in numeric else "nw" if tag == "td" else ""}">{cell}</{tag}>'
            for n, cell in enumerate(cells)
        )
        + "</tr>"
    )


def _key(source: str) -> str:
    strongest = max(SecurityClass.parse(part) for part in source.split("+"))
    return f'<span class="key {strongest.label}">{escape(source)}</span>'


def _hops(src: str, path: Sequence[str], topology: Topology) -> str:
    """The path as site, channel, site ...; each channel in the colour of its class."""
    if not path:
        return f'<span class="bad">{UNKNOWN}</span>'
    parts, at = [escape(src)], src
    for channel_id in path:
        channel = topology.channel(channel_id)
        at = channel.other(at) if at in channel.ends else channel.b
        short = channel_id.rpartition("-")[2]
        tip = f"{channel_id} ({channel.security.label})"
        parts.append(f'<span class="hop {channel.security.label}" title="{escape(tip)}">─{escape(short)}→</span>')
        parts.append(escape(at))
    return f'<span class="hops">{"".join(parts)}</span>'


def _on_the_wire(c: Json) -> str:
    marker = c["marker"]
    if marker is None:
        return UNKNOWN
    text = "ciphertext only" if c["ciphertext_only"] else "plaintext" if marker["ok"] else "not proven"
    if c["required"] != "none" and not c["ciphertext_only"] and any(s["with_marker"] for s in marker["channels"]):
        text = "plaintext!"
    sign, tone = ("✓", "good") if marker["ok"] else ("✗", "bad")
    return f'<span class="{tone}" title="{escape(marker["detail"])}">{sign}</span> {text}'


def _eavesdropper(report: Json) -> str:
    shown: dict[bool, tuple[str, Json]] = {}
    for entry in report["slices"]:
        for c in entry["connections"]:
            if c["marker"] and c["marker"]["sample"]:
                shown.setdefault(c["required"] == "none", (entry["name"], c))
    if not shown:
        return ""
    cards = ""
    for clear in sorted(shown, reverse=True):
        slice_name, c = shown[clear]
        channel = next((s["channel"] for s in c["marker"]["channels"] if s["frames"]), "")
        cards += (
            f'<div class="card"><h3>{escape(slice_name)}/{escape(c["name"])} {_key(c["key_source"])}</h3>'
            f'<span class="soft">one packet captured on {escape(channel)}</span>'
            f"<pre>{hex_dump(bytes.fromhex(c['marker']['sample']))}</pre></div>"
        )
    return (
        "<h2>What an eavesdropper reads</h2>"
        '<p class="soft">A readable marker was sent through every connection while every channel of its path was '
        f'captured. The payload of UDP, as it stood on the channel:</p><div class="pair">{cards}</div>'
    )


def _failure(failure: Json, topology: Topology) -> str:
    if failure["cut"] is None:
        return "<h2>A channel is cut</h2><p>Not measured.</p>"
    name = failure["connection"]
    cut = (failure["cut"],)
    samples = failure["samples"]
    before = Emphasis(dict.fromkeys(failure["path_before"], (name,)), to_be_cut=cut, only=True)
    after = Emphasis(dict.fromkeys(failure["path_after"], (name,)), cut=cut, only=True)
    src = _start_of(failure["path_before"], topology)
    rows = "".join(
        _row(
            (
                f"<b>{escape(a['connection'])}</b>",
                _key(a["required"]),
                _hops(_start_of(a["path_before"], topology), a["path_before"], topology),
                _hops(_start_of(a["path_after"], topology), a["path_after"], topology),
                escape(a["key_source_after"]),
                f"{_number(a['outage_ms'], 0, ' ms')} ± {_number(a['interval_ms'], 0)}",
            ),
            "td",
            numeric=(5,),
        )
        for a in failure["affected"]
    )
    head = ("connection", "needs", "before", "after", "keys after", "outage")
    return (
        "<h2>A channel is cut</h2>"
        f'<p class="soft">{escape(failure["cut"])} was cut while {escape(name)} was pinged every '
        f"{_number(failure['interval_ms'], 2)} ms: {failure['lost_packets']} of {failure['sent_packets']} echo "
        f"requests lost ({_number(failure['lost_ms'], 0)} ms), longest silence {_number(failure['silence_ms'], 0)} ms; "
        f"{_kept(failure['security_kept'])}.</p>"
        f'<div class="pair"><div class="card"><h3>Before</h3>{_hops(src, failure["path_before"], topology)}'
        f"{draw_topology(topology, SMALL, f'Path of {name} before the cut', before)}</div>"
        f'<div class="card"><h3>After</h3>{_hops(src, failure["path_after"], topology)}'
        f"{draw_topology(topology, SMALL, f'Path of {name} after the cut', after)}</div></div>"
        f'<div class="card">{draw_outage(samples["at_ms"], samples["rtt_ms"], failure["outage_ms"])}</div>'
        f'<div class="card"><table>{_row(head, "th", numeric=(5,))}{rows}</table></div>'
    )


def _start_of(path: Sequence[str], topology: Topology) -> str:
    """The site a path starts at: the end of its first channel that the second does not touch."""
    if not path:
        return ""
    first = topology.channel(path[0])
    if len(path) == 1:
        return first.a
    second = topology.channel(path[1])
    return next((end for end in first.ends if end not in second.ends), first.a)


def _checks(checks: Sequence[Json]) -> str:
    rows = "".join(
        f'<tr><td class="{"good" if c["ok"] else "bad"} nw">{"✓ held" if c["ok"] else "✗ failed"}</td>'
        f'<td class="nw"><b>{escape(c["name"])}</b></td><td>{escape(c["detail"])}</td></tr>'
        for c in checks
    )
    head = "<tr><th></th><th>check</th><th>figures</th></tr>"
    return f'<h2>Checks</h2><div class="card"><table class="checks">{head}{rows}</table></div>'


def _footer() -> str:
    return (
        "<footer>Figures are those of report.json beside this page. docs/reference/demo-report.md says how each was "
        "measured and when a check fails.</footer>"
    )


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}{unit}"
