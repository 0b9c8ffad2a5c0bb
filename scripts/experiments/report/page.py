"""``report.html`` of an experiment: one page, readable without a server or a network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from scripts.experiments.report.plots import CSS, as_file, draw_distribution, draw_timeline
from scripts.experiments.report.results import ExperimentResult, Picture, Repetition
from scripts.experiments.report.statistics import percentile
from scripts.report.html_style import STYLE
from scripts.report.provenance import sentence
from scripts.report.topology_svg import MAIN, Emphasis, draw_topology, standalone

# In the manner of paper 000: Fig. 2 (the network), 5 (after the failure), 6 (after restoration, there "healing").
PICTURES = {
    "before": "The network before the failure (as paper 000, Fig. 2)",
    "failure": "After the failure (as paper 000, Fig. 5)",
    "healed": "After restoration (as paper 000, Fig. 6)",
}


def draw_pictures(result: ExperimentResult) -> dict[str, str]:
    """All figures as files of their own, by name."""
    files = {"outages": as_file(draw_distribution(result.outages_by_class()))}
    for repetition in result.results:
        timeline = draw_timeline(repetition.probes, repetition.events, result.duration_s)
        files[f"timeline-{repetition.number}"] = as_file(timeline)
    first = next((r for r in result.results if r.pictures), None)
    for name, picture in (first.pictures if first else {}).items():
        files[f"network-{name}"] = standalone(result.topology, PICTURES[name], _emphasis(picture))
    return files


def render(result: ExperimentResult) -> str:
    """The page; also well-formed XML."""
    body = _header(result) + _arms(result) + _tiles(result) + _distribution(result)
    first = next((r for r in result.results if r.pictures), None)
    if first is not None:
        body += "<h2>The network</h2>" + "".join(
            f'<div class="card"><h3>{escape(PICTURES[name])}</h3>'
            f"{draw_topology(result.topology, MAIN, PICTURES[name], _emphasis(picture))}</div>"
            for name, picture in first.pictures.items()
        )
    body += "".join(_repetition(r, result.duration_s) for r in result.results)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>QSlice experiment: {escape(result.name)}</title>"
        f"<style>{escape(STYLE + CSS, quote=False)}</style></head><body><main>{body}</main></body></html>\n"
    )


def _emphasis(picture: Picture) -> Emphasis:
    return Emphasis(used=picture.used, cut=picture.broken)


def _header(result: ExperimentResult) -> str:
    violations, done = result.violations, sum(r.complete for r in result.results)
    pill = (
        f'<span class="pill bad">✗ {len(violations)} violations</span>'
        if violations
        else '<span class="pill good">✓ nothing that must not be</span>'
    )
    head = (
        f"<header><h1>{escape(result.title)}</h1>{pill}"
        f'<p class="soft">{escape(result.name)} on {escape(result.topology.name)}, seed {result.seed}, '
        f"{done} of {result.repetitions} repetitions.</p>"
        f'<p class="soft">{escape(sentence(result.provenance.to_dict()))}.</p></header>'
    )
    listed = _list(f"repetition {v['repetition']}: {v['what']}" for v in violations)
    look = (
        f'<div class="card"><h3>What to look for</h3><p>{escape(result.look_for)}</p></div>' if result.look_for else ""
    )
    return head + listed + look + _list(result.notes)


def _tiles(result: ExperimentResult) -> str:
    tiles = []
    for name, values in sorted(result.outages_by_class().items()):
        p50, worst = percentile(values, 0.5) or 0.0, max(values, default=0.0)
        tiles.append(
            f'<div class="tile"><b>{p50:.0f} <small>ms</small></b><span>median outage, protection {escape(name)}; '
            f"worst {worst:.0f} ms, {len(values)} outages</span></div>"
        )
    recovered = [r.recovered_s for r in result.results if r.recovered_s is not None]
    if recovered:
        tiles.append(
            f'<div class="tile"><b>{max(recovered):.1f} <small>s</small></b>'
            "<span>until all was ACTIVE and passing again after the last fault was lifted (worst)</span></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _arms(result: ExperimentResult) -> str:
    if not result.arms:
        return ""
    arms = [result.arm(arm) for arm in result.arms]
    rows = "".join(
        f"<tr><td>{escape(_with_unit(result, name))}</td>"
        + "".join(f'<td class="num">{_figure(arm[name])}</td>' for arm in arms)
        + "</tr>"
        for name in arms[0]
    )
    return f'<h2>Side by side</h2><div class="card"><table><tr>{_heads(("", *result.arms))}</tr>{rows}</table></div>'


def _with_unit(result: ExperimentResult, name: str) -> str:
    return f"{name}, {result.units[name]}" if name in result.units else name


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value == int(value) else f"{value:.1f}"


def _distribution(result: ExperimentResult) -> str:
    figure = draw_distribution(result.outages_by_class())
    return f'<h2>Outages by protection class</h2><div class="card">{figure}</div>'


def _repetition(repetition: Repetition, duration_s: float) -> str:
    rows = "".join(
        f'<tr><td class="nw">{escape(p.connection)}</td><td>{escape(p.kind)}</td><td>{escape(p.protection)}</td>'
        f'<td>{escape(p.required)}</td><td>{"yes" if p.hit else ""}</td><td class="num">{p.sent}</td>'
        f'<td class="num">{p.lost}</td><td class="num">{max((x.outage_ms for x in p.phases), default=0.0):.0f}</td>'
        f'<td class="num">{"" if p.mbps is None else f"{p.mbps:.1f}"}</td><td>{escape(p.error)}</td></tr>'
        for p in repetition.probes
    )
    events = "".join(
        f'<tr><td class="num">{e.at_s:.3f}</td><td class="nw">{escape(e.label)}</td><td>{escape(e.note)}</td></tr>'
        for e in repetition.events
    )
    head = ("connection", "probe", "protection", "asked", "hit", "sent", "lost", "longest outage, ms", "Mbit/s", "")
    whose = f": {escape(repetition.arm)}" if repetition.arm else ""
    return (
        f"<h2>Repetition {repetition.number}{whose}{'' if repetition.complete else ' (interrupted)'}</h2>"
        f'<div class="card">{draw_timeline(repetition.probes, repetition.events, duration_s)}</div>'
        f'<div class="card"><table><tr>{_heads(("at, s", "done", "outcome"))}</tr>{events}</table></div>'
        f'<div class="card"><table><tr>{_heads(head)}</tr>{rows}</table></div>'
        f"{_list(repetition.findings)}"
    )


def _heads(names: Iterable[str]) -> str:
    return "".join(f"<th>{escape(name)}</th>" for name in names)


def _list(items: Iterable[str]) -> str:
    entries = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{entries}</ul>" if entries else ""


def users_of(paths: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Which connections use each channel."""
    users: dict[str, list[str]] = {}
    for connection, path in paths.items():
        for channel in path:
            users.setdefault(channel, []).append(connection)
    return users
