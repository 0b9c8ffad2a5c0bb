"""What whoever taps a line can tell from the frames on it, without any key. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from scripts.measure.capture.frames import Packet, parse_frame
from scripts.measure.capture.plaintext_search import contains_marker

Frames = Sequence[tuple[float, bytes]]  # when it was seen (s), what


@dataclass(frozen=True)
class Told:
    """What was really there: the hosts' addresses, and how many lengths of packets were sent how often."""

    hosts: frozenset[str]
    connections: int
    lengths: int
    each: int  # packets of every length on every connection


@dataclass(frozen=True)
class Sight:
    """What is to be seen of it."""

    host_pairs: int
    """Pairs of hosts that are seen to talk."""
    flows: int
    """Streams that can be told apart by addresses, ports or SPI, both directions counted as one."""
    lengths: int
    """Lengths of frames that appear with the traffic, and as often as the packets of one length were sent."""
    quiet_fps: float
    """Frames a second while nothing is sent."""
    busy_fps: float
    """Frames a second while packets are sent."""
    is_readable: bool
    """Whether the payload is readable."""

    @property
    def tells_times(self) -> bool:
        """Whether it shows when somebody sends."""
        return self.busy_fps > 1.5 * self.quiet_fps + 5.0


def look(quiet: Frames, busy: Frames, quiet_s: float, busy_s: float, told: Told, marker: bytes) -> Sight:
    """``quiet`` are frames of ``quiet_s`` seconds without traffic, ``busy`` those of ``busy_s`` seconds with it."""
    packets = [packet for _, frame in busy if (packet := parse_frame(frame)) is not None]
    usual = Counter(len(frame) for _, frame in quiet)
    seen = Counter(len(frame) for _, frame in busy)
    new = {n for n, count in seen.items() if count >= told.each // 2 and count > 2 * usual[n] * busy_s / quiet_s}
    return Sight(
        host_pairs=len(_host_pairs(packets, told.hosts)),
        flows=len({flow for packet in packets if (flow := _flow(packet)) is not None}),
        lengths=len(new),
        quiet_fps=len(quiet) / quiet_s,
        busy_fps=len(busy) / busy_s,
        is_readable=any(contains_marker(frame, marker) for _, frame in busy),
    )


def _host_pairs(packets: Iterable[Packet], hosts: Collection[str]) -> set[frozenset[str]]:
    pairs = (frozenset((p.source, p.destination)) for p in packets)
    return {pair for pair in pairs if len(pair & set(hosts)) == 2}


def _flow(packet: Packet) -> frozenset[tuple[str, int]] | None:
    """Both ends with their ports; None of what switches say among themselves."""
    if packet.source_port == 0 or packet.destination_port == 0:
        return None
    return frozenset(((packet.source, packet.source_port), (packet.destination, packet.destination_port)))
