"""The common practice that path computation is compared with: k shortest paths, then filter.

As kytos' pathfinder does with networkx: simple paths by rising latency, the first one on which every hop has a
channel that passes the filters. It ignores surplus security, load, key rate and required elements, so its
question is easier than ours; and it takes one filter after the other, so that it may walk through very many paths.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import FrameType

import networkx as nx

from controller.graph import Network
from controller.model import ConnectionRequest


@dataclass(frozen=True)
class Outcome:
    """How long a question took, and whether it was answered within the limit."""

    seconds: float
    is_finished: bool


class _CutOffError(Exception):
    """The limit was reached in the midst of a question."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _CutOffError after so much processor time: one simple path alone can take networkx minutes to yield."""

    def cut(_number: int, _frame: FrameType | None) -> None:
        raise _CutOffError

    before = signal.signal(signal.SIGVTALRM, cut)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class KShortestAndFilter:
    """A network as a networkx graph whose edges hold their parallel channels."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._graph = nx.Graph()
        index = network.index
        for number, (a, b) in enumerate(index.ends):
            latency = index.latency_us[number]
            if self._graph.has_edge(a, b):
                edge = self._graph[a][b]
                edge["channels"].append(number)
                edge["latency"] = min(edge["latency"], latency)
            else:
                self._graph.add_edge(a, b, channels=[number], latency=latency)

    def ask(self, request: ConnectionRequest, limit_s: float) -> Outcome:
        """One question, cut off after ``limit_s`` of processor time. From the main thread only."""
        start = time.perf_counter()
        try:
            with _limited(limit_s):
                self._search(request)
        except _CutOffError:
            return Outcome(time.perf_counter() - start, False)
        return Outcome(time.perf_counter() - start, True)

    def _search(self, request: ConnectionRequest) -> None:
        index, spec = self._network.index, request.spec
        source, target = index.site_number[request.src], index.site_number[request.dst]
        for path in nx.shortest_simple_paths(self._graph, source, target, weight="latency"):
            if sum(self._graph[a][b]["latency"] for a, b in pairwise(path)) > spec.latency_us:
                return  # all others are slower still
            if all(self._passes(request, self._graph[a][b]["channels"]) for a, b in pairwise(path)):
                return

    def _passes(self, request: ConnectionRequest, channels: list[int]) -> bool:
        level, bandwidth = request.spec.security.level, request.spec.bandwidth_kbps
        security, headroom = self._network.index.security, self._network.headroom
        return any(security[c] >= level and headroom[c] >= bandwidth for c in channels)
