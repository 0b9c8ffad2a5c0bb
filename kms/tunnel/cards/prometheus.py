"""Counters of cards as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kms.tunnel.agent.loop_lag import Histogram
from kms.tunnel.agent.prometheus import escaped, loop_lag
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.states import Link

_PREFIX = "qslice_card"


def render(shelf: str, cards: Mapping[str, Mapping[str, Any]], lag: Histogram) -> str:
    """One family per counter, one sample per card; ``cards`` is what their stats hold, by wavelength."""
    site = escaped(shelf)
    labels = {name: f'shelf="{site}",wavelength="{escaped(name)}"' for name in cards}
    lines: list[str] = []
    for counter in fields(Counters):
        lines.append(f"# TYPE {_PREFIX}_{counter.name}_total counter")
        lines += [
            f"{_PREFIX}_{counter.name}_total{{{labels[name]}}} {stats[counter.name]}" for name, stats in cards.items()
        ]
    lines.append(f"# TYPE {_PREFIX}_up gauge")
    for name, stats in cards.items():
        source = escaped(stats["key_source"])
        lines.append(f'{_PREFIX}_up{{{labels[name]},key_source="{source}"}} {int(stats["state"] == Link.UP.value)}')
    lines.append(f"# TYPE {_PREFIX}_key_age_seconds gauge")
    for name, stats in cards.items():
        if stats["key_age_s"] is not None:
            lines.append(f"{_PREFIX}_key_age_seconds{{{labels[name]}}} {stats['key_age_s']:.3f}")
    lines.append(f"# TYPE {_PREFIX}_client_carrier gauge")
    for name, stats in cards.items():
        for client in stats["clients"]:
            channel = f'{labels[name]},channel="{escaped(client["channel"])}"'
            lines.append(f"{_PREFIX}_client_carrier{{{channel}}} {int(client['has_carrier'])}")
    return "\n".join([*lines, *loop_lag(f'shelf="{site}"', lag, _PREFIX)]) + "\n"
