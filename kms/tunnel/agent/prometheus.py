"""Counters as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kms.tunnel.agent.loop_lag import Histogram
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.states import Link

_PREFIX = "qslice_tunnel"


def render(host: str, connections: Mapping[str, Mapping[str, Any]], lag: Histogram) -> str:
    """One family per counter, one sample per connection; ``connections`` is what the agent's stats hold.

    SAs are not among it: an SPI lives for seconds, and a label with ever new values fills the database that collects.
    """
    labels = {name: f'host="{escaped(host)}",connection="{escaped(name)}"' for name in connections}
    lines: list[str] = []
    for counter in fields(Counters):
        lines.append(f"# TYPE {_PREFIX}_{counter.name}_total counter")
        for name, stats in connections.items():
            if counter.name in stats:
                lines.append(f"{_PREFIX}_{counter.name}_total{{{labels[name]}}} {stats[counter.name]}")
    lines.append(f"# TYPE {_PREFIX}_up gauge")
    for name, stats in connections.items():
        source = escaped(stats["key_source"])
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
    lines.append(f"# TYPE {_PREFIX}_rx_saved gauge")
    for name, stats in connections.items():
        if stats.get("rx_saved") is not None:
            lines.append(f"{_PREFIX}_rx_saved{{{labels[name]}}} {stats['rx_saved']}")
    return "\n".join([*lines, *loop_lag(f'host="{escaped(host)}"', lag, _PREFIX)]) + "\n"


def loop_lag(label: str, lag: Histogram, prefix: str) -> list[str]:
    """The histogram of how late a process' event loop was; ``label`` says whose."""
    name = f"{prefix}_loop_lag_seconds"
    return [
        f"# TYPE {name} histogram",
        *(f'{name}_bucket{{{label},le="{bound}"}} {count}' for bound, count in lag.cumulative()),
        f"{name}_sum{{{label}}} {lag.sum_s:.6f}",
        f"{name}_count{{{label}}} {lag.count}",
    ]


def escaped(text: str) -> str:
    """A label's value."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
