"""Numbered datagram flows over connections: one in each direction, with a receiver at its far end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.measure.connection import Connection, Endpoint
from scripts.measure.probes.probers import Probers, new_token, result_of


@dataclass(frozen=True)
class Flow:
    """Datagrams in one direction of a connection; ``id`` is the name that both ends know them by."""

    connection: Connection
    sender: Endpoint
    receiver: Endpoint
    id: str

    def listen(self, probers: Probers, port: int, needle: bytes = b"") -> None:
        """Count what arrives, and what of it contains ``needle``."""
        probers[self.receiver.host].call(
            "receive", flow=self.id, address=self.receiver.address, port=port, needle=needle.hex()
        )

    def received(self, probers: Probers) -> dict[str, int]:
        """``unique``, ``duplicates`` and ``with_needle`` so far."""
        return probers[self.receiver.host].call("received", flow=self.id)


def flows_of(connections: Sequence[Connection]) -> list[Flow]:
    """Both directions of every connection, each under a fresh id."""
    return [
        Flow(c, sender, receiver, new_token())
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


def start_sending(probers: Probers, plan: Sequence[tuple[Flow, Datagrams]]) -> None:
    """Start all of them at about the same time."""
    started = [
        probers[flow.sender.host].submit(
            "send",
            flow=flow.id,
            source=flow.sender.address,
            destination=flow.receiver.address,
            port=what.port,
            interval_s=what.interval_s,
            size=what.size,
            fill=what.fill.hex(),
            limit=what.limit,
        )
        for flow, what in plan
    ]
    for future in started:
        result_of(future, "starting to send")


def stop_sending(probers: Probers, flows: Sequence[Flow]) -> dict[str, int]:
    """Stop all of them; how many datagrams were sent, by flow."""
    stopping = {flow.id: probers[flow.sender.host].submit("send_stop", flow=flow.id) for flow in flows}
    return {flow: int(result_of(future, "stopping to send")["sent"]) for flow, future in stopping.items()}
