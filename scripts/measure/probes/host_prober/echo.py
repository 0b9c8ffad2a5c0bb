"""Echo requests: streams at a fixed interval, single ones for reachability, and when each arrived or was answered."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Any

from scripts.measure.probes.host_prober.commands import Command, Operation, answer
from scripts.measure.probes.host_prober.event_loop import EventLoop, next_due
from scripts.measure.probes.host_prober.packets import (
    ECHO_REQUEST,
    echo_request,
    icmp_receiver,
    icmp_sender,
    parse_echo,
)


@dataclass
class PingStream:
    """Echo requests at a fixed interval over one connection."""

    token: bytes
    source: str
    destination: str
    interval_s: float
    sent: list[float] = field(default_factory=list)
    replies: dict[int, float] = field(default_factory=dict)
    socket: socket.socket | None = None
    error: str = ""
    running: bool = True
    answer_first: Any = None  # id of the command to answer at the first reply


class EchoProber:
    """Sends echo requests and notes those that come, and the replies, by token."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._streams: dict[bytes, PingStream] = {}
        self._arrived: dict[bytes, float] = {}  # when the first echo request of a token came here
        self._awaited: dict[bytes, Any] = {}  # id of the command to answer when it comes
        self._answered: set[bytes] = set()
        self._icmp = icmp_receiver()
        loop.on_readable(self._icmp, self._on_icmp)

    @property
    def operations(self) -> dict[str, Operation]:
        return {
            "first_reply": self.first_reply,
            "ping": self.ping,
            "ping_count": self.ping_count,
            "ping_stop": self.ping_stop,
            "first_arrival": self.first_arrival,
            "reach": self.reach,
            "sightings": self.sightings,
        }

    # Streams

    def first_reply(self, command: Command) -> None:
        """Ping until the first reply; the answer is its time, or an error after ``timeout_s``."""
        stream = self._start_stream(command)
        stream.answer_first = command["id"]

        def give_up() -> None:
            if stream.answer_first is not None:
                stream.answer_first, stream.running = None, False
                reason = stream.error or f"no reply to {len(stream.sent)} echo requests"
                answer(command["id"], error=reason)

        self._loop.after(command["timeout_s"], give_up)

    def ping(self, command: Command) -> dict[str, Any]:
        """Start pinging; ``ping_stop`` ends it and has the result, ``ping_count`` says how many replies came."""
        self._start_stream(command)
        return {}

    def ping_count(self, command: Command) -> dict[str, Any]:
        stream = self._streams[bytes.fromhex(command["token"])]
        return {
            "sent": len(stream.sent),
            "replies": len(stream.replies),
            "last_sequence": max(stream.replies, default=-1),
        }

    def ping_stop(self, command: Command) -> dict[str, Any]:
        stream = self._streams[bytes.fromhex(command["token"])]
        stream.running = False
        return {"sent": stream.sent, "replies": sorted(stream.replies.items()), "error": stream.error}

    def _start_stream(self, command: Command) -> PingStream:
        token = bytes.fromhex(command["token"])
        stream = PingStream(token, command["source"], command["destination"], command["interval_s"])
        self._streams[token] = stream
        self._tick_stream(stream, time.monotonic())
        return stream

    def _tick_stream(self, stream: PingStream, due: float) -> None:
        if not stream.running:
            if stream.socket is not None:
                stream.socket.close()
            return
        now = time.monotonic()
        try:
            if stream.socket is None:
                stream.socket = icmp_sender(stream.source)
            stream.sent.append(now)
            stream.socket.sendto(echo_request(stream.token, len(stream.sent) - 1), (stream.destination, 0))
        except OSError as error:  # the address or the route is not there yet, or the tunnel is stopped: keep trying
            stream.error = str(error)
        due = next_due(due, now, stream.interval_s)
        self._loop.at(due, lambda: self._tick_stream(stream, due))

    # What comes

    def _on_icmp(self) -> None:
        for _ in range(64):
            try:
                packet = self._icmp.recv(2048)
            except BlockingIOError:
                return
            now = time.monotonic()
            echo = parse_echo(packet)
            if echo is None:
                continue
            kind, token, sequence = echo
            if kind == ECHO_REQUEST:
                self._note_arrival(token, now)
                continue
            self._answered.add(token)
            stream = self._streams.get(token)
            if stream is None:
                continue
            stream.replies.setdefault(sequence, now)
            if stream.answer_first is not None:
                command_id, stream.answer_first, stream.running = stream.answer_first, None, False
                answer(command_id, {"at": now, "sent": len(stream.sent)})

    def first_arrival(self, command: Command) -> None:
        """Wait for the first echo request of ``token``; the answer is when it came, or an error after ``timeout_s``."""
        token = bytes.fromhex(command["token"])
        self._awaited[token] = command["id"]

        def give_up() -> None:
            command_id = self._awaited.pop(token, None)
            if command_id is not None:
                answer(command_id, error="no echo request came")

        self._loop.after(command["timeout_s"], give_up)
        if token in self._arrived:
            answer(self._awaited.pop(token), {"at": self._arrived[token]})

    def _note_arrival(self, token: bytes, now: float) -> None:
        at = self._arrived.setdefault(token, now)
        command_id = self._awaited.pop(token, None)
        if command_id is not None:
            answer(command_id, {"at": at})

    # Reachability: one echo request per attempt, told apart by token at both ends

    def reach(self, command: Command) -> None:
        """Send one echo request per probe (token, source, destination, device); answer ``wait_s`` after the last."""
        probes = command["probes"]
        refused: dict[str, str] = {}

        def send_one(index: int) -> None:
            if index == len(probes):
                self._loop.after(command["wait_s"], lambda: answer(command["id"], {"refused": refused}))
                return
            probe = probes[index]
            try:
                with icmp_sender(probe["source"], probe["device"]) as sender:
                    sender.sendto(echo_request(bytes.fromhex(probe["token"]), 0), (probe["destination"], 0))
            except OSError as error:
                refused[probe["token"]] = str(error)
            self._loop.after(command["spacing_s"], lambda: send_one(index + 1))

        send_one(0)

    def sightings(self, _command: Command) -> dict[str, Any]:
        """Tokens of the echo requests that arrived here and of the replies that came back here."""
        return {"arrived": [t.hex() for t in self._arrived], "answered": [t.hex() for t in self._answered]}
