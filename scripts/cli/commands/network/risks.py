"""``risk list``: what fails together, and whether it is broken now."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table
from scripts.testbed.faults import Faults, effects
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from topologies import links
from topologies.spec import Topology

SHOWN = 4


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    system = RunningSystem(running_record(layout), layout)
    found = risks(system.topology, system.faults.active())
    if arguments.json:
        print_json(found)
    else:
        rows = [(r["id"], r["state"], _some(r["channels"]), _some(r["sections"])) for r in found]
        print_table("Risk groups", ("id", "state", "channels", "QKD sections"), rows)
    return 0


def _some(names: list[str]) -> str:
    """The first names, and how many more: a fibre may carry dozens. JSON has them all."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return " ".join(names[:SHOWN]) + more


def risks(topology: Topology, active: Faults) -> list[dict[str, Any]]:
    """Each risk group with its channels and QKD sections, and how many of them faults have taken: pure."""
    state = effects(topology, active)
    found = []
    for group in topology.risk_groups():
        channels = [c for c in topology.channels if group in c.risk_groups]
        sections = [s.id for s in topology.sections if group in s.risk_groups]
        broken = [not state.dead.isdisjoint(links.interfaces(topology, c)) for c in channels]
        broken += [section in state.unlit for section in sections]
        word = "down" if all(broken) else "partly down" if any(broken) else "up"
        found.append({"id": group, "state": word, "channels": [c.id for c in channels], "sections": sections})
    return found


HANDLERS: Handlers = {"risk list": _list}
