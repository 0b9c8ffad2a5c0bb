"""Path computation by Yen's k shortest loopless paths (J. Y. Yen, Management Science 17, 1971), by latency.

Every connection gets the first of its k paths that has what it asks for, one connection after the other, on what those
before it leave. That is the common practice; it is neither exact nor does it spread load. Backups are the first of the
k paths that share no channel and no risk group with the working one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator

from scripts.extensions.api import (
    EXTENSION_API,
    ChannelView,
    ConnectionAsk,
    ConnectionPlan,
    NetworkView,
    Route,
    SliceAsk,
    SlicePlan,
)

K_PATHS = 12
Path = tuple[ChannelView, ...]
WillDo = Callable[[ChannelView, str], bool]  # a channel, entered at a site


class YenPce:
    """The first of the k shortest paths that will do."""

    name = "yen"
    version = "1.0"
    api = EXTENSION_API

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        for placement in req.placements:
            plans = self._together(net, placement.connections)
            if plans is not None:
                return SlicePlan(placement.site, plans)
        return None

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        path = next(self._fitting(net, req, Counter(), frozenset(avoid)), None)
        return None if path is None else _route(path)

    def _together(self, net: NetworkView, asked: tuple[ConnectionAsk, ...]) -> tuple[ConnectionPlan, ...] | None:
        used: Counter[tuple[str, str]] = Counter()  # channel and sender, kbit/s
        found = []
        for req in asked:
            working = next(self._fitting(net, req, used), None)
            if working is None:
                return None
            _take(used, req, working)
            backup = None
            if req.has_backup:
                risky = _risks(working)
                candidates = self._fitting(net, req, used)
                backup = next((path for path in candidates if risky.isdisjoint(_risks(path))), None)
                if backup is None:
                    return None
                _take(used, req, backup)
            found.append(ConnectionPlan(req.id, _route(working), None if backup is None else _route(backup)))
        return tuple(found)

    def _fitting(
        self,
        net: NetworkView,
        req: ConnectionAsk,
        used: Counter[tuple[str, str]],
        avoid: frozenset[str] = frozenset(),
    ) -> Iterator[Path]:
        """Those of the k shortest paths over channels that will do, which also keep to the request as a whole."""
        banned = avoid | set(req.exclude_sites)
        if req.src == req.dst or req.src in banned:
            return

        def will_do(channel: ChannelView, sender: str) -> bool:
            along, against = req.reserved_kbps
            receiver = channel.other(sender)
            return (
                receiver not in banned
                and channel.id not in req.exclude_channels
                and req.admits(channel)
                and channel.free_from(sender) - used[channel.id, sender] >= along
                and channel.free_from(receiver) - used[channel.id, receiver] >= against
            )

        for path in _k_shortest(net, req.src, req.dst, will_do):
            channels, sites = {c.id for c in path}, set(_sites(req.src, path))
            if sum(c.latency_us for c in path) > req.latency_us:
                return  # those that follow are longer
            if req.max_hops is not None and len(path) > req.max_hops:
                continue
            if channels.issuperset(req.include_channels) and sites.issuperset(req.include_sites):
                yield path


def _k_shortest(net: NetworkView, src: str, dst: str, will_do: WillDo) -> Iterator[Path]:
    """Loopless paths by rising latency, at most :data:`K_PATHS` (Yen's algorithm over parallel channels)."""
    first = _shortest(net, src, dst, will_do, frozenset(), frozenset())
    if first is None:
        return
    found: list[Path] = [first]
    waiting: list[tuple[int, tuple[str, ...], Path]] = []
    seen = {_ids(first)}
    while True:
        yield found[-1]
        if len(found) == K_PATHS:
            return
        last = found[-1]
        for spur in range(len(last)):
            root = last[:spur]
            here = _sites(src, root)[-1]
            taken = frozenset(p[spur].id for p in found if len(p) > spur and _ids(p[:spur]) == _ids(root))
            rest = _shortest(net, here, dst, will_do, taken, frozenset(_sites(src, root)[:-1]))
            if rest is not None and _ids(root + rest) not in seen:
                path = root + rest
                seen.add(_ids(path))
                heapq.heappush(waiting, (sum(c.latency_us for c in path), _ids(path), path))
        if not waiting:
            return
        found.append(heapq.heappop(waiting)[2])


def _shortest(
    net: NetworkView, src: str, dst: str, will_do: WillDo, without: frozenset[str], closed: frozenset[str]
) -> Path | None:
    """Dijkstra by latency; ties go to the names."""
    heap: list[tuple[int, tuple[str, ...], str, Path]] = [(0, (), src, ())]
    done: set[str] = set(closed)
    while heap:
        latency_us, ids, site, path = heapq.heappop(heap)
        if site == dst:
            return path
        if site in done:
            continue
        done.add(site)
        for channel in net.usable_at[site]:
            there = channel.other(site)
            if there not in done and channel.id not in without and will_do(channel, site):
                heapq.heappush(heap, (latency_us + channel.latency_us, (*ids, channel.id), there, (*path, channel)))
    return None


def _sites(src: str, path: Path) -> list[str]:
    sites = [src]
    for channel in path:
        sites.append(channel.other(sites[-1]))
    return sites


def _ids(path: Path) -> tuple[str, ...]:
    return tuple(channel.id for channel in path)


def _risks(path: Path) -> set[str]:
    return {name for channel in path for name in (channel.id, *channel.risk_groups)}


def _route(path: Path) -> Route:
    return Route(_ids(path))


def _take(used: Counter[tuple[str, str]], req: ConnectionAsk, path: Path) -> None:
    along, against = req.reserved_kbps
    for channel, sender in zip(path, _sites(req.src, path), strict=False):
        used[channel.id, sender] += along
        used[channel.id, channel.other(sender)] += against
