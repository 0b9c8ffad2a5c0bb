"""Sequence-numbered datagrams: sent at a fixed rate, and counted by flow where they arrive."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Any

from scripts.measure.probes.host_prober.commands import Command, Operation
from scripts.measure.probes.host_prober.event_loop import EventLoop, next_due
from scripts.measure.probes.host_prober.packets import DATAGRAM, RECEIVE_BUFFER_BYTES, datagram_receiver


@dataclass
class Sender:
    """Datagrams of one flow at a fixed rate; what the socket refuses counts as sent, hence as lost."""

    flow: bytes
    socket: socket.socket
    destination: tuple[str, int]
    interval_s: float
    fill: bytes
    limit: int
    sent: int = 0
    refused: int = 0
    running: bool = True
    times: list[float] = field(default_factory=list)  # when each left, by sequence number


@dataclass
class Receiver:
    """What arrived of one flow."""

    socket: socket.socket
    needle: bytes
    arrivals: dict[int, float] = field(default_factory=dict)  # when each first came, by sequence number
    duplicates: int = 0
    with_needle: int = 0

    @property
    def counts(self) -> dict[str, Any]:
        return {
            "unique": len(self.arrivals),
            "duplicates": self.duplicates,
            "with_needle": self.with_needle,
        }


class DatagramProber:
    """Sends and receives flows of datagrams, by the flow's name."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._senders: dict[bytes, Sender] = {}
        self._receivers: dict[bytes, Receiver] = {}

    @property
    def operations(self) -> dict[str, Operation]:
        return {
            "receive": self.receive,
            "received": self.received,
            "receive_stop": self.receive_stop,
            "send": self.send,
            "send_stop": self.send_stop,
        }

    def receive(self, command: Command) -> dict[str, Any]:
        """Start counting what comes of ``flow`` to ``address`` and ``port``, and in how many ``needle`` is."""
        flow = bytes.fromhex(command["flow"])
        sock = datagram_receiver(command["address"], command["port"])
        receiver = Receiver(sock, bytes.fromhex(command.get("needle", "")))
        self._receivers[flow] = receiver
        self._loop.on_readable(sock, lambda: self._on_datagrams(flow, receiver))
        return {}

    def _on_datagrams(self, flow: bytes, receiver: Receiver, most: int = 64) -> None:
        for _ in range(most):
            try:
                datagram = receiver.socket.recv(65535)
            except BlockingIOError:
                return
            now = time.monotonic()
            if len(datagram) < DATAGRAM.size:
                continue
            of, sequence = DATAGRAM.unpack_from(datagram)
            if of != flow:
                continue
            if sequence in receiver.arrivals:
                receiver.duplicates += 1
            receiver.arrivals.setdefault(sequence, now)
            if receiver.needle and receiver.needle in datagram:
                receiver.with_needle += 1

    def received(self, command: Command) -> dict[str, Any]:
        return self._receivers[bytes.fromhex(command["flow"])].counts

    def receive_stop(self, command: Command) -> dict[str, Any]:
        """Close a receiver; the answer is its counts, and with ``times`` when each datagram came. All that the kernel
        had when it was asked counts, but nobody's stream keeps it open."""
        flow = bytes.fromhex(command["flow"])
        receiver = self._receivers.pop(flow)
        self._on_datagrams(flow, receiver, most=RECEIVE_BUFFER_BYTES // DATAGRAM.size)
        self._loop.forget(receiver.socket)
        receiver.socket.close()
        times = {"times": sorted(receiver.arrivals.items())} if command.get("times") else {}
        return {**receiver.counts, **times}

    def send(self, command: Command) -> dict[str, Any]:
        """Start sending ``limit`` datagrams (0: until ``send_stop``) of ``size`` bytes from ``source``."""
        flow = bytes.fromhex(command["flow"])
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((command["source"], 0))
        fill = bytes.fromhex(command["fill"])
        room = command["size"] - DATAGRAM.size
        sender = Sender(
            flow, sock, (command["destination"], command["port"]), command["interval_s"],
            (fill * (room // len(fill) + 1))[:room], command["limit"],
        )  # fmt: skip
        self._senders[flow] = sender
        self._tick_sender(sender, time.monotonic())
        return {}

    def _tick_sender(self, sender: Sender, due: float) -> None:
        if not sender.running or (sender.limit and sender.sent >= sender.limit):
            sender.running = False
            return
        now = time.monotonic()
        try:
            sender.socket.sendto(DATAGRAM.pack(sender.flow, sender.sent) + sender.fill, sender.destination)
        except OSError:
            sender.refused += 1
        sender.sent += 1
        sender.times.append(now)
        due = next_due(due, now, sender.interval_s)
        self._loop.at(due, lambda: self._tick_sender(sender, due))

    def send_stop(self, command: Command) -> dict[str, Any]:
        sender = self._senders.pop(bytes.fromhex(command["flow"]))
        sender.running = False
        sender.socket.close()
        times = {"times": sender.times} if command.get("times") else {}
        return {"sent": sender.sent, "refused": sender.refused, **times}
