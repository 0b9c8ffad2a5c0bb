"""What the one-way latency of a path is made of: fibre, cards, switches and the hosts' tunnel, in whole us. Pure.

A path over n channels passes n + 1 switches. One switch per channel is counted with the channel, so that path
computation stays a sum over channels; what is left, the first switch and the tunnel, hangs on the request alone, and is
taken off its bound before any search (:meth:`LatencyModel.budget_us`).
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.request import ConnectionSpec


@dataclass(frozen=True)
class LatencyParts:
    """The latency of one path by what causes it."""

    fibre: int
    cards: int
    switches: int
    tunnel: int

    @property
    def total(self) -> int:
        return self.fibre + self.cards + self.switches + self.tunnel

    @property
    def greatest(self) -> str:
        """The name of the part that takes most."""
        return max(vars(self), key=vars(self).__getitem__)

    def __str__(self) -> str:
        return ", ".join(f"{name} {us} us" for name, us in vars(self).items())


@dataclass(frozen=True)
class LatencyModel:
    """What a switch takes one way, and a tunnel's two ends together where hosts seal."""

    switch_us: int = 0
    tunnel_us: int = 0

    def switches_us(self, channels: int) -> int:
        """Of a path over so many channels: a switch at each of its sites."""
        return (channels + 1) * self.switch_us

    def ends_us(self, spec: ConnectionSpec) -> int:
        """What the ends of the connection's tunnel take; 0 where hosts seal nothing."""
        return self.tunnel_us if spec.is_sealed_by_hosts else 0

    def fixed_us(self, spec: ConnectionSpec) -> int:
        """What every path of the connection takes, whichever channels it has: the first switch, and the tunnel."""
        return self.switch_us + self.ends_us(spec)

    def budget_us(self, spec: ConnectionSpec) -> int:
        """What is left of the connection's bound for channels, each with its switch; below 0: nothing fits."""
        return spec.latency_us - self.fixed_us(spec)


NOTHING_BESIDE_CHANNELS = LatencyModel()
