"""Path computations that answer what they must not. Each begins with a plan that would do, and spoils it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace

from controller.extending.builtin import BuiltinPce
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


class _Spoiler:
    """The builtin's answers with each working path spoilt."""

    version = "0.1"
    api = EXTENSION_API

    def __init__(self) -> None:
        self.exact = BuiltinPce()

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        plan = self.exact.plan(net, req)
        if plan is None:
            return None
        asked = {ask.id: ask for place in req.placements if place.site == plan.site for ask in place.connections}
        return replace(plan, connections=tuple(self.spoil_plan(net, asked[c.id], c) for c in plan.connections))

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        route = self.exact.route(net, req, avoid)
        return None if route is None else self.spoil(net, req, route)

    def spoil_plan(self, net: NetworkView, req: ConnectionAsk, plan: ConnectionPlan) -> ConnectionPlan:
        return replace(plan, working=self.spoil(net, req, plan.working))

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        return route


def _instead(net: NetworkView, route: Route, will_do: Callable[[ChannelView, ChannelView], bool]) -> Route:
    """The route with its first channel that can be exchanged for a parallel one that ``will_do`` exchanged."""
    for n, channel_id in enumerate(route.channels):
        here = net.by_id[channel_id]
        for other in net.channels:
            if {other.a, other.b} == {here.a, here.b} and other.id != channel_id and will_do(here, other):
                return replace(route, channels=(*route.channels[:n], other.id, *route.channels[n + 1 :]))
    return route


class LowerClass(_Spoiler):
    """Takes channels of a class below that asked for."""

    name = "lower-class"

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        return _instead(net, route, lambda _, other: not req.admits(other) and other.is_up)


class DownChannel(_Spoiler):
    """Takes channels that are down or dark."""

    name = "down-channel"

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        return _instead(net, route, lambda _, other: not other.is_up)


class OverBooker(_Spoiler):
    """Takes channels that have not the bandwidth left."""

    name = "over-booker"

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        def is_full(_: ChannelView, other: ChannelView) -> bool:
            return other.is_up and req.admits(other) and not (req.fits(other, other.a) and req.fits(other, other.b))

        return _instead(net, route, is_full)


class Looper(_Spoiler):
    """Goes to and fro on the first channel."""

    name = "looper"

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        return replace(route, channels=(route.channels[0], route.channels[0], *route.channels))


class WrongEnds(_Spoiler):
    """Goes on from where it should end."""

    name = "wrong-ends"

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        onward = [c.id for c in net.usable_at[req.dst] if c.id not in route.channels]
        return replace(route, channels=(*route.channels, onward[0]))


class Forgetful(_Spoiler):
    """Leaves connections out."""

    name = "forgetful"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        plan = super().plan(net, req)
        return None if plan is None else replace(plan, connections=plan.connections[1:])


class KeyThief(_Spoiler):
    """Names a key relay that leads nowhere."""

    name = "key-thief"

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        return replace(route, key_links=()) if req.key_rate_millibps else route


class SamePathTwice(_Spoiler):
    """Protects a path by itself."""

    name = "same-path-twice"

    def spoil_plan(self, net: NetworkView, req: ConnectionAsk, plan: ConnectionPlan) -> ConnectionPlan:
        return plan if plan.backup is None else replace(plan, backup=Route(plan.working.channels))


class Sloth(_Spoiler):
    """Never answers."""

    name = "sloth"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        time.sleep(3600)
        return None

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        while True:
            pass


class Crasher(_Spoiler):
    """Takes its process down."""

    name = "crasher"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        os.abort()

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        os._exit(0)


class Raiser(_Spoiler):
    """Raises, and tries to leave."""

    name = "raiser"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        raise SystemExit("not my day")

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        raise ZeroDivisionError


class Mutator(_Spoiler):
    """Makes room where there is none, in what it was given."""

    name = "mutator"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        plan = super().plan(net, req)
        self._spread(net)
        return plan

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        route = super().route(net, req, avoid)
        self._spread(net)
        return route

    def _spread(self, net: NetworkView) -> None:
        for channel in net.channels:
            object.__setattr__(channel, "free_kbps", (10**9, 10**9))


class Babbler(_Spoiler):
    """Answers what is no plan, and prints into the answer's way."""

    name = "babbler"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        print("a plan, honestly", flush=True)
        return ["a plan"]  # type: ignore[return-value]

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        return Route(("a", 7))  # type: ignore[arg-type]


class Mute(_Spoiler):
    """Says that nothing fits."""

    name = "mute"

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        return None

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        return None


class RandomRoutes(_Spoiler):
    """Paths at random, over whatever channel there is, whether or not it may be used."""

    name = "random-routes"

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(7)

    def spoil_plan(self, net: NetworkView, req: ConnectionAsk, plan: ConnectionPlan) -> ConnectionPlan:
        return plan if plan.backup is not None else super().spoil_plan(net, req, plan)

    def spoil(self, net: NetworkView, req: ConnectionAsk, route: Route) -> Route:
        here, seen, channels = req.src, {req.src}, []
        while here != req.dst:
            onward = [c for c in net.channels if here in (c.a, c.b) and c.other(here) not in seen]
            if not onward:
                return route
            channel = self._random.choice(onward)
            here = channel.other(here)
            seen.add(here)
            channels.append(channel.id)
        return Route(tuple(channels), route.key_links)


class Incomplete:
    """Has no method ``route``."""

    name = "incomplete"
    version = "0.1"
    api = EXTENSION_API

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        return None


class FromTheFuture(_Spoiler):
    """Is of another version of the interface."""

    name = "from-the-future"
    api = EXTENSION_API + 1
