"""Routes through the network, and lanes: a route with a label per channel and direction."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.latency import LatencyParts
from topologies.spec import ENCRYPTION_CARD_DELAY_US


@dataclass(frozen=True)
class Route:
    """A way through the network: alternating sites and channels, and the sections its keys are relayed over.

    ``key_sections`` counts how often the key relay crosses each QKD section; it is empty unless QKD supplies keys.
    ``latency_us`` counts everything that it passes, of which ``switches_us`` and ``tunnel_us`` are not its channels'.
    """

    sites: tuple[str, ...]
    channels: tuple[str, ...]
    latency_us: int
    cost: int
    key_links: tuple[str, ...] = ()
    key_sections: tuple[tuple[str, int], ...] = ()
    switches_us: int = 0
    tunnel_us: int = 0  # both ends of the hosts' tunnel; 0 where hosts seal nothing

    @property
    def latency_parts(self) -> LatencyParts:
        """What ``latency_us`` is made of; the rounding of channels up to whole microseconds is the fibre's."""
        cards = len(self.channels) * round(ENCRYPTION_CARD_DELAY_US)
        fibre = self.latency_us - cards - self.switches_us - self.tunnel_us
        return LatencyParts(fibre, cards, self.switches_us, self.tunnel_us)

    @property
    def src(self) -> str:
        return self.sites[0]

    @property
    def dst(self) -> str:
        return self.sites[-1]


@dataclass(frozen=True)
class Lane:
    """One way of a connection with a label per channel and direction, both in the route's order.

    ``generation`` counts the connection's lanes over its life, so that late rules and replies can be told apart.
    """

    route: Route
    forward: tuple[int, ...]
    reverse: tuple[int, ...]
    generation: int
    # Labels for packets on their way back from where the lane is broken: the forward ones' on all channels but the
    # last, the reverse ones' on all but the first, in the route's order. Empty unless the lane is protected 1:1.
    forward_detour: tuple[int, ...] = ()
    reverse_detour: tuple[int, ...] = ()
    ports: tuple[int, ...] = ()  # the client port at both ends of each hop, where connections have circuits
