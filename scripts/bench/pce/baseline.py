"""The common practice that path computation is compared with: filter, and take the k shortest paths.

It ignores surplus security, load, key rate and required elements, so its question is easier than ours.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from types import FrameType

import networkx as nx

from controller.model.request import ConnectionRequest
from controller.pce.network import Network


@dataclass(frozen=True)
class Outcome:
    """How long a question took, whether it came to its end within the limit, and whether a path was found."""

    seconds: float
    is_finished: bool
    is_answered: bool = False


class _CutOffError(Exception):
    """The limit was reached in the midst of a question."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _CutOffError after so much processor time: one simple path alone can take networkx minutes to yield."""

    def cut(_number: int, _frame: FrameType | None) -> None:
        raise _CutOffError

    before = signal.signal(signal.SIGVTALRM, cut)
    # What is raised inside a callback of the garbage collector is lost.
    collects = gc.isenabled()
    gc.disable()
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        if collects:
            gc.enable()


class KShortestAndFilter:
    """A network as kytos' graph: a node per site and per interface, an edge per channel and per attachment.

    Facts of kytos-ng/pathfinder, graph/graph.py: parallel links are apart because their interfaces are nodes;
    security, bandwidth and state filter the edges, whose subgraph networkx searches for the k shortest simple paths.
    The bound on a path's latency is no filter there: it is applied to what comes out.
    """

    K_PATHS = 5

    def __init__(self, network: Network) -> None:
        self._network = network
        self._graph = nx.Graph()
        index = network.index
        interface = len(index.site_number)
        for number, ends in enumerate(index.ends):
            near, far = interface, interface + 1
            interface += 2
            self._graph.add_edge(ends[0], near, latency=0)
            self._graph.add_edge(far, ends[1], latency=0)
            self._graph.add_edge(near, far, latency=index.latency_us[number], channel=number)

    def ask(self, request: ConnectionRequest, limit_s: float) -> Outcome:
        """One question, cut off after ``limit_s`` of processor time. From the main thread only."""
        start = time.perf_counter()
        try:
            with _limited(limit_s):
                path = self._search(request)
        except _CutOffError:
            return Outcome(time.perf_counter() - start, False)
        return Outcome(time.perf_counter() - start, True, path is not None)

    def _search(self, request: ConnectionRequest) -> list[int] | None:
        numbers = self._network.index.site_number
        passing = [(a, b) for a, b, edge in self._graph.edges(data=True) if self._passes(request, edge)]
        graph = self._graph.edge_subgraph(passing)
        with suppress(nx.NetworkXNoPath, nx.NodeNotFound):
            paths = nx.shortest_simple_paths(graph, numbers[request.src], numbers[request.dst], weight="latency")
            for path in islice(paths, self.K_PATHS):
                if sum(graph[a][b]["latency"] for a, b in pairwise(path)) <= request.spec.latency_us:
                    return list(path)
        return None

    def _passes(self, request: ConnectionRequest, edge: dict[str, int]) -> bool:
        channel = edge.get("channel")
        if channel is None:
            return True
        spec, network = request.spec, self._network
        is_wide_enough = min(network.headroom[2 * channel : 2 * channel + 2]) >= spec.bandwidth_kbps
        return is_wide_enough and network.index.security[channel] >= spec.security.level
