"""Adapter: the state of single channels on a running network, by interface name.

Mininet's own ``configLinkStatus`` takes down every parallel link between two nodes at once; a fault here is one
channel's. Shaping and silent loss are the same root qdisc, so that undoing the one restores the other.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from enum import Enum

from topologies.spec import Channel, Topology

CHANNEL_MTU = 1600  # room for the label that the ingress switch pushes, and more
QUEUE_PACKETS = 20_000  # the controller keeps labels until so many have passed (forwarding.label_quarantine)
BURST = "64kb"  # a TSO burst; smaller ones cut TCP's rate


class LinkError(RuntimeError):
    """The kernel refused a change; the message is its own."""


@dataclass(frozen=True)
class Shape:
    """How a channel's interfaces are to send: at ``rate_mbps`` (None: unshaped), ``delay_us`` later (0: at once)."""

    rate_mbps: float | None
    delay_us: float

    def qdisc(self, interface: str) -> str:
        """The ``tc`` line that gives ``interface`` this shape."""
        if self.delay_us:
            rate = f" rate {self.rate_mbps:g}mbit" if self.rate_mbps else ""
            return f"qdisc replace dev {interface} root netem delay {self.delay_us:.0f}us limit {QUEUE_PACKETS}{rate}"
        if self.rate_mbps:
            return f"qdisc replace dev {interface} root tbf rate {self.rate_mbps:g}mbit burst {BURST} latency 30ms"
        return f"qdisc replace dev {interface} root pfifo"


@dataclass(frozen=True)
class Impairment:
    """What a channel does to packets beside carrying them."""

    loss_pct: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.loss_pct <= 100:
            raise ValueError(f"loss_pct: {self.loss_pct} is not in 0..100")
        if not 0 <= self.jitter_ms <= self.delay_ms <= 10_000:
            raise ValueError(f"delay_ms: {self.delay_ms} with jitter_ms {self.jitter_ms} is not possible")

    def qdisc(self, interface: str, shape: Shape) -> str:
        """The ``tc`` line that gives ``interface`` this beside its shape, where the kernel has netem."""
        delay_us = shape.delay_us + 1000 * self.delay_ms
        delay = f" delay {delay_us:.0f}us {1000 * self.jitter_ms:.0f}us" if delay_us else ""
        loss = f" loss {self.loss_pct:g}%" if self.loss_pct else ""
        rate = f" rate {shape.rate_mbps:g}mbit" if shape.rate_mbps else ""
        return f"qdisc replace dev {interface} root netem{delay}{loss} limit {QUEUE_PACKETS}{rate}"


def shape_of(topology: Topology, channel: Channel, netem: bool) -> Shape:
    """The healthy shape of a channel: its capacity, and its delay where the kernel can delay."""
    return Shape(channel.capacity_mbps if topology.shaped else None, channel.delay_us if netem else 0.0)


def interfaces(topology: Topology, channel: Channel) -> tuple[str, str]:
    """The channel's two switch ports, a's end first."""
    return (
        topology.port_of(channel.a, channel.id).interface,
        topology.port_of(channel.b, channel.id).interface,
    )


class Direction(Enum):
    """One of a channel's two directions, named by its ends."""

    A_TO_B = "a-b"
    B_TO_A = "b-a"


def sending(topology: Topology, channel: Channel, direction: Direction | None) -> tuple[str, ...]:
    """The ports that send in ``direction``; both when it is None."""
    a, b = interfaces(topology, channel)
    return {Direction.A_TO_B: (a,), Direction.B_TO_A: (b,), None: (a, b)}[direction]


def set_up(names: tuple[str, ...], up: bool) -> None:
    """Give or take the carrier of both ends of a veth pair (taking one end down takes it from the other)."""
    state = "up" if up else "down"
    _batch("ip", [f"link set dev {name} {state}" for name in names])


def blackhole(names: tuple[str, ...]) -> None:
    """Lose every packet without losing carrier: a token bucket that never fills."""
    _batch("tc", [f"qdisc replace dev {name} root tbf rate 8bit burst 1 limit 1" for name in names])


def impair(names: tuple[str, ...], shape: Shape, impairment: Impairment) -> None:
    """Have interfaces of this shape lose, delay and scatter packets as well. Raises LinkError."""
    _batch("tc", [impairment.qdisc(name, shape) for name in names])


def restore(names: tuple[str, ...], shape: Shape) -> None:
    """Undo :func:`blackhole` and :func:`impair`."""
    _batch("tc", [line for name in names for line in (f"qdisc del dev {name} root", shape.qdisc(name))])


def apply_shapes(shapes: dict[str, Shape]) -> None:
    """Shape many interfaces with one call of ``tc``."""
    _batch("tc", [shape.qdisc(name) for name, shape in shapes.items()])


def _batch(tool: str, lines: list[str]) -> None:
    if not lines:
        return
    done = subprocess.run(
        [tool, "-batch", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LinkError(f"{tool}: {done.stderr.strip() or done.stdout.strip()} (while doing: {'; '.join(lines[:3])})")
