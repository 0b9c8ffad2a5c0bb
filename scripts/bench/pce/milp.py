"""Path computation as a mixed-integer linear program: the oracle where trying everything takes too long.

Solved by HiGHS through ``scipy.optimize.milp``, one objective after the other in the documented order, each
earlier one held at its optimum. It covers one route and a pair without required elements (those would need
subtour constraints), and shares no code with ``controller/`` but the model's values.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from controller.model.request import ConnectionRequest, Match
from controller.pce.network import Network
from scripts.bench.pce.brute_force import Cost, PairValue, bandwidth_of, is_room, latency_of, latency_us


@dataclass
class _Program:
    """Binary variables with rows of constraints added one by one."""

    size: int
    rows: list[np.ndarray] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, coefficients: dict[int, float], low: float, high: float) -> None:
        row = np.zeros(self.size)
        for variable, coefficient in coefficients.items():
            row[variable] += coefficient
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def minimise(self, objectives: list[dict[int, float]]) -> list[int] | None:
        """The optima of the objectives in order; None when infeasible."""
        optima: list[int] = []
        for objective in objectives:
            costs = np.zeros(self.size)
            for variable, cost in objective.items():
                costs[variable] += cost
            solved = milp(
                costs,
                integrality=np.ones(self.size),
                bounds=Bounds(0, 1),
                constraints=LinearConstraint(np.array(self.rows), np.array(self.low), np.array(self.high)),
                options={"mip_rel_gap": 0.0},
            )
            if not solved.success:
                return None
            optimum = round(float(costs @ np.round(solved.x)))
            optima.append(optimum)
            self.add(objective, -np.inf, optimum + 0.5)
        return optima


class _Arcs:
    """Both directions of every channel that may carry the request, with the three parts of its cost."""

    def __init__(self, network: Network, request: ConnectionRequest) -> None:
        spec, level = request.spec, request.spec.security.level
        self.fixed_us = latency_of(network, request, ((request.src,), ()))
        self.arcs: list[tuple[str, str, str]] = []  # channel, from, to
        self.surplus: list[int] = []
        self.latency: list[int] = []
        self.load: list[int] = []
        self.has_room: list[bool] = []
        for channel in network.topology.channels:
            exact = spec.security.match is Match.EXACT
            if channel.security < level or (exact and channel.security != level):
                continue
            if not network.is_channel_up(channel.id) or channel.id in spec.exclude_channels:
                continue
            if set(channel.ends) & spec.exclude_sites:
                continue
            for ends in (channel.ends, channel.ends[::-1]):
                need = bandwidth_of(request, (ends, (channel.id,)))
                used = max(network.reserved_kbps(channel.id, end) + need[channel.id, end] for end in ends)
                self.arcs.append((channel.id, *ends))
                self.has_room.append(is_room(network, need))
                self.surplus.append(channel.security - level)
                self.latency.append(latency_us(channel.length_km) + network.index.latency.switch_us)
                self.load.append(used * 1000 // round(channel.capacity_mbps * 1000))

    def constrain(self, program: _Program, request: ConnectionRequest, sites: tuple[str, ...], offset: int) -> None:
        """One unit of flow from end to end, no site entered twice, within latency and hops."""
        for site in sites:
            balance: dict[int, float] = {}
            entering: dict[int, float] = {}
            for i, (_, a, b) in enumerate(self.arcs, start=offset):
                if site == a:
                    balance[i] = 1.0
                if site == b:
                    balance[i] = -1.0
                    entering[i] = 1.0
            net = float((site == request.src) - (site == request.dst))
            program.add(balance, net, net)
            program.add(entering, 0, 0 if site == request.src else 1)
        numbers = range(offset, offset + len(self.arcs))
        for number, has_room in zip(numbers, self.has_room, strict=True):
            if not has_room:
                program.add({number: 1.0}, 0, 0)
        program.add(
            dict(zip(numbers, map(float, self.latency), strict=True)), 0, request.spec.latency_us - self.fixed_us
        )
        if request.spec.max_hops is not None:
            program.add(dict.fromkeys(numbers, 1.0), 0, request.spec.max_hops)

    def objectives(self, offsets: tuple[int, ...]) -> list[dict[int, float]]:
        """Surplus, latency and load over all the flows that start at ``offsets``."""
        return [
            {offset + i: float(cost) for offset in offsets for i, cost in enumerate(part)}
            for part in (self.surplus, self.latency, self.load)
        ]


def best_route(network: Network, request: ConnectionRequest) -> Cost | None:
    """Cost of the best data path."""
    arcs = _Arcs(network, request)
    if not arcs.arcs or not _are_ends_up(network, request):
        return None
    program = _Program(len(arcs.arcs))
    arcs.constrain(program, request, network.topology.site_names, 0)
    optima = program.minimise(arcs.objectives((0,)))
    return None if optima is None else (optima[0], optima[1], optima[2])


def best_pair(network: Network, request: ConnectionRequest) -> PairValue | None:
    """Value of the best pair of data paths."""
    arcs = _Arcs(network, request)
    if not arcs.arcs or not _are_ends_up(network, request):
        return None
    sites, n = network.topology.site_names, len(arcs.arcs)
    risks: dict[str, list[int]] = {}  # channel or group -> arcs
    through: dict[str, list[int]] = {}
    for i, (channel, _, b) in enumerate(arcs.arcs):
        for name in {channel, *network.topology.channel(channel).risk_groups}:
            risks.setdefault(name, []).append(i)
        if b not in (request.src, request.dst):
            through.setdefault(b, []).append(i)
    names = [*risks, *through]
    program = _Program(2 * n + len(names) + n // 2)
    for offset in (0, n):
        arcs.constrain(program, request, sites, offset)
    for number, name in enumerate(names, start=2 * n):
        # Shared when any use by the first meets any use by the second.
        uses = risks.get(name) or through[name]
        for i in uses:
            for j in uses:
                program.add({i: 1.0, n + j: 1.0, number: -1.0}, -1, 1)
    different: dict[int, float] = {}
    for k in range(n // 2):
        number = 2 * n + len(names) + k
        both = {2 * k: 1.0, 2 * k + 1: 1.0, n + 2 * k: 1.0, n + 2 * k + 1: 1.0}
        program.add({**both, number: -1.0}, 0, 4)  # different only where one uses it
        program.add({**both, number: 1.0}, 0, 2)  # and not both
        for i, j in itertools.product((2 * k, 2 * k + 1), repeat=2):
            ways = [((a, b), (channel,)) for channel, a, b in (arcs.arcs[i], arcs.arcs[j])]
            if not is_room(network, bandwidth_of(request, *ways)):
                program.add({i: 1.0, n + j: 1.0}, 0, 1)
        different[number] = 1.0
    program.add(different, 1, n)
    first = {2 * n + k: 1.0 for k in range(len(risks))}
    second = {2 * n + len(risks) + k: 1.0 for k in range(len(through))}
    optima = program.minimise([first, second, *arcs.objectives((0, n))])
    return None if optima is None else (optima[0], optima[1], (optima[2], optima[3], optima[4]))


def _are_ends_up(network: Network, request: ConnectionRequest) -> bool:
    ends = {request.src, request.dst}
    return all(network.is_site_up(site) for site in ends) and not ends & request.spec.exclude_sites
