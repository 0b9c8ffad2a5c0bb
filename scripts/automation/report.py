"""What a testbed looks like at one moment, as ``report.json`` and as a page (``report.html``). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from scripts.automation.values import Channel, Keys, Slice
from scripts.report.html_style import STYLE
from scripts.report.topology_svg import MAIN, Emphasis, draw_topology
from topologies.spec import Topology


@dataclass(frozen=True)
class Snapshot:
    """Everything that is to be seen."""

    topology: Topology
    slices: tuple[Slice, ...]
    channels: tuple[Channel, ...]
    keys: Keys
    faults: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "topology": self.topology.name,
            "slices": [asdict(each) for each in self.slices],
            "channels": [asdict(each) for each in self.channels],
            "sections": [asdict(each) for each in self.keys.sections.values()],
            "pools": [asdict(each) for each in self.keys.pools],
            "faults": list(self.faults),
        }


def render(snapshot: Snapshot) -> str:
    """The page; also well-formed XML."""
    connections = [c for each in snapshot.slices for c in each.connections]
    used: dict[str, list[str]] = {}
    for connection in connections:
        for channel in connection.path:
            used.setdefault(channel, []).append(connection.id)
    down = [c.id for c in snapshot.channels if c.state == "down"]
    title = f"QSlice on {snapshot.topology.name}"
    drawing = draw_topology(snapshot.topology, MAIN, title, Emphasis(used=used, cut=down))
    body = (
        f"<header><h1>{escape(title)}</h1></header><div class='card'>{drawing}</div>"
        + _table("Faults", ("fault",), [(fault,) for fault in snapshot.faults])
        + _table(
            "Connections",
            ("connection", "from", "to", "asked", "level", "keys", "Mbit/s", "path", "state", "reason"),
            [
                (c.id, c.src, c.dst, c.required, c.level, c.key_source, c.bandwidth_mbps, " ".join(c.path), c.state,
                 c.reason or "")
                for c in connections
            ],
        )
        + _table(
            "QKD sections",
            ("section", "km", "state", "secret bit/s", "QBER", "in store, bits"),
            [
                (s.id, s.length_km, s.state, "not known yet" if s.secret_bps is None else s.secret_bps,
                 "" if s.qber is None else s.qber, s.available_bits)
                for s in snapshot.keys.sections.values()
            ],
        )
    )  # fmt: skip
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        f"<title>{escape(title)}</title><style>{escape(STYLE, quote=False)}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    heads = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    if not lines:
        return ""
    return f'<h2>{escape(title)}</h2><div class="card"><table><tr>{heads}</tr>{lines}</table></div>'
