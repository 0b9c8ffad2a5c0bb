"""Numbered datagram flows over connections: one each way, with a receiver at its far end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.measure.connection import Connection, Endpoint
from scripts.measure.probes.probers import Probers, new_token, result_of


@dataclass(frozen=True)
class Way:
    """One direction of a connection and the name of the flow on it."""

    connection: Connection
    sender: Endpoint
    receiver: Endpoint
    flow: str

    def listen(self, probers: Probers, port: int, needle: bytes = b"") -> None:
        """Count what arrives, and what of it contains ``needle``."""
        probers[self.receiver.host].call(
            "receive", flow=self.flow, address=self.receiver.address, port=port, needle=needle.hex()
        )

    def received(self, probers: Probers) -> dict[str, int]:
        """``unique``, ``duplicates`` and ``with_needle`` so far."""
        return probers[self.receiver.host].call("received", flow=self.flow)


def ways_of(connections: Sequence[Connection]) -> list[Way]:
    """Both directions of every connection, each under a fresh flow name."""
    return [
        Way(c, sender, receiver, new_token())
        for c in connections
        for sender, receiver in (c.ends, (c.ends[1], c.ends[0]))
    ]


@dataclass(frozen=True)
class Datagrams:
    """What to send: ``limit`` datagrams (0: until stopped) of ``size`` bytes filled with ``fill``."""

    port: int
    interval_s: float
    size: int
    fill: bytes
    limit: int = 0


def start_sending(probers: Probers, plan: Sequence[tuple[Way, Datagrams]]) -> None:
    """Start all of them at about the same time."""
    started = [
        probers[way.sender.host].submit(
            "send",
            flow=way.flow,
            source=way.sender.address,
            destination=way.receiver.address,
            port=what.port,
            interval_s=what.interval_s,
            size=what.size,
            fill=what.fill.hex(),
            limit=what.limit,
        )
        for way, what in plan
    ]
    for future in started:
        result_of(future, "starting to send")


def stop_sending(probers: Probers, ways: Sequence[Way]) -> dict[str, int]:
    """Stop all of them; how many datagrams were sent, by flow."""
    stopping = {way.flow: probers[way.sender.host].submit("send_stop", flow=way.flow) for way in ways}
    return {flow: int(result_of(future, "stopping to send")["sent"]) for flow, future in stopping.items()}
