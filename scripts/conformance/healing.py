"""A healing policy tried on the use cases' slices, with each of their channels cut, at once and after a while."""

from __future__ import annotations

from controller.extending.verdicts import MOST_WAIT_S, Wrong, audited_verdicts
from controller.extending.views import connection_ask, network_view
from controller.pce.computation import reserve_planned, search_slice
from controller.pce.network import Network
from controller.schema.slice_request import parse_slice_request
from scripts.conformance.outcome import Report, Tally
from scripts.extensions.api import Impact, PathView
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.testbed.slice_requests import EXAMPLE_NAMES, load_example
from topologies.files import load_topology

TOPOLOGIES = ("ukqntel", "metro-ring")
KEY_MILLIBPS = 1_000_000
SINCE_S = (0.0, 1.0, 5.0, MOST_WAIT_S)


def check_healing(worker: Worker, report: Report) -> None:
    """Verdicts about everything that each cut hits, audited as in earnest."""
    verdicts = Tally()
    for topology in TOPOLOGIES:
        for example in EXAMPLE_NAMES:
            network = Network(load_topology(topology))
            for section in network.topology.sections:
                network.set_section(section.id, KEY_MILLIBPS, usable=True)
            plan = search_slice(network, parse_slice_request(load_example(example)))
            if plan is None:
                continue
            for planned in plan.connections:
                reserve_planned(network, planned)
            for channel in sorted({c for p in plan.connections for c in p.working.channels}):
                cut = network.copy()
                cut.set_channel_up(channel, False)
                hit = [p for p in plan.connections if channel in p.working.channels]
                free = cut.copy()
                for planned in hit:
                    if planned.backup is None:
                        free.release(planned.request.id)
                for since_s in SINCE_S:
                    impacts = tuple(
                        Impact(
                            connection_ask(network, p.request),
                            "TO_RESTORE" if p.backup is None else "SWITCHED_OVER",
                            tuple(PathView(r.channels, channel not in r.channels) for r in p.routes),
                            p.backup is not None,
                            since_s,
                        )
                        for p in hit
                    )
                    try:
                        said = worker.ask("decide", network_view(cut), impacts, 1000.0 + since_s)
                    except ExtensionError as error:
                        verdicts.bad(str(error))
                        continue
                    found = audited_verdicts(free, impacts, said, {p.request.id: p.request for p in hit})
                    for name, verdict in found.items():
                        if isinstance(verdict, Wrong):
                            verdicts.bad(f"{name}, {since_s:g} s after {channel} was cut: {verdict.detail}")
                        else:
                            verdicts.good()
    verdicts.into(report, "every verdict passes the auditor")
