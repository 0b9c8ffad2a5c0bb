"""Counters as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kms.tunnel.counters import Counters
from kms.tunnel.states import Link

_PREFIX = "qslice_tunnel"


def render(host: str, connections: Mapping[str, Mapping[str, Any]]) -> str:
    """One family per counter, one sample per connection; ``connections`` is what the agent's stats hold."""
    labels = {name: f'host="{_escape(host)}",connection="{_escape(name)}"' for name in connections}
    lines: list[str] = []
    for counter in fields(Counters):
        lines.append(f"# TYPE {_PREFIX}_{counter.name}_total counter")
        for name, stats in connections.items():
            if counter.name in stats:
                lines.append(f"{_PREFIX}_{counter.name}_total{{{labels[name]}}} {stats[counter.name]}")
    lines.append(f"# TYPE {_PREFIX}_up gauge")
    for name, stats in connections.items():
        source = _escape(stats["key_source"])
        is_up = int(stats["state"] == Link.UP.value)
        lines.append(f'{_PREFIX}_up{{{labels[name]},key_source="{source}"}} {is_up}')
    lines.append(f"# TYPE {_PREFIX}_reachable gauge")
    for name, stats in connections.items():
        if stats.get("reachable") is not None:
            lines.append(f"{_PREFIX}_reachable{{{labels[name]}}} {int(stats['reachable'])}")
    lines.append(f"# TYPE {_PREFIX}_key_age_seconds gauge")
    for name, stats in connections.items():
        if stats.get("key_age_s") is not None:
            lines.append(f"{_PREFIX}_key_age_seconds{{{labels[name]}}} {stats['key_age_s']:.3f}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
