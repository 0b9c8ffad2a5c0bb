"""A path computation tried on random networks and on the shipped ones, each answer held against the auditor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from controller.extending.audit import NoRelay, Refused, audited_plan, audited_route
from controller.extending.views import connection_ask, network_view, slice_ask
from controller.model.request import Protection, SliceRequest, connections_of
from controller.pce.computation import search_route, search_slice
from controller.pce.network import Network
from controller.pce.placement import candidates
from controller.schema.slice_request import parse_slice_request
from scripts.bench.pce.instances import SmallLimits, small_connection, small_listed, small_network, small_slice
from scripts.conformance.outcome import Report, Tally
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.testbed.slice_requests import EXAMPLE_NAMES, load_example
from topologies.files import load_topology

INSTANCES = 60
LIMITS = SmallLimits(sites=5, channels=9, cells=1)
TOPOLOGIES = ("ukqntel", "metro-ring")
KEY_MILLIBPS = 1_000_000


def check_pce(worker: Worker, report: Report) -> None:
    """Plans and routes; what of the questions that can be answered was answered is told, not judged."""
    plans, routes = Tally(), Tally()
    feasible = found = 0
    slowest_s = 0.0
    for network, request in _slices():
        exact = search_slice(network, request)
        feasible += exact is not None
        placements = [(site, connections_of(request, site)) for site in candidates(network, request)]
        began = time.perf_counter()
        try:
            plan = worker.ask("plan", network_view(network), slice_ask(network, request))
            slowest_s = max(slowest_s, time.perf_counter() - began)
            if plan is not None:
                with contextlib.suppress(NoRelay):
                    audited_plan(network, placements, plan)
        except (ExtensionError, Refused) as error:
            plans.bad(str(error))
        else:
            plans.good()
            found += exact is not None and plan is not None
    for seed in range(INSTANCES):
        network = small_network(seed, SmallLimits(), is_one_sided=seed % 2 == 1)
        asked = small_connection(seed, network, Protection.RESTORATION, is_directed=seed % 2 == 1)
        avoid = frozenset(site for site in network.index.site_names[:1] if site not in (asked.src, asked.dst))
        asked = replace(asked, spec=replace(asked.spec, exclude_sites=asked.spec.exclude_sites | avoid))
        is_feasible = search_route(network, asked) is not None
        feasible += is_feasible
        try:
            route = worker.ask(
                "route", network_view(network), connection_ask(network, asked, avoid), tuple(sorted(avoid))
            )
            if route is not None:
                with contextlib.suppress(NoRelay):
                    audited_route(network, asked, route)
        except (ExtensionError, Refused) as error:
            routes.bad(str(error))
        else:
            routes.good()
            found += is_feasible and route is not None
    plans.into(report, "every plan passes the auditor")
    routes.into(report, "every route passes the auditor")
    report.add("it finds something", found > 0, f"{found} of {feasible} that the builtin finds")
    report.add("it keeps its deadline", slowest_s < worker.deadline_s,
               f"the slowest plan took {1000 * slowest_s:.0f} ms of {1000 * worker.deadline_s:.0f} ms")  # fmt: skip


def _slices() -> Iterator[tuple[Network, SliceRequest]]:
    for seed in range(INSTANCES):
        network = small_network(seed, LIMITS, is_one_sided=seed % 2 == 1)
        yield network, small_listed(seed, network) if seed % 2 else small_slice(seed, network, LIMITS)
    for name in TOPOLOGIES:
        network = Network(load_topology(name))
        for section in network.topology.sections:
            network.set_section(section.id, KEY_MILLIBPS, usable=True)
        for example in EXAMPLE_NAMES:
            request = parse_slice_request(load_example(example))
            yield network, request
            plan = search_slice(network, request)
            for channel in sorted({c for p in plan.connections for c in p.working.channels} if plan else ()):
                cut = network.copy()
                cut.set_channel_up(channel, False)
                yield cut, request
