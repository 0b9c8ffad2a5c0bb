"""The demo's probe program: runs inside one host's namespace, sends and receives on command, reports exactly.

It is a program of its own (standard library only, started as ``python -I -S host_prober.py``), so that one process per
host does everything that must be fast or exact: echo requests at 1 kHz, sequence-numbered datagrams, counting what
arrives. Commands are JSON lines on standard input, answers JSON lines on standard output with the same ``id``. It
ends when its standard input does, so that it cannot outlive the demo. Times are CLOCK_MONOTONIC seconds, which all
processes of one machine share.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ECHO_REPLY, ECHO_REQUEST = 0, 8  # RFC 792
MAGIC = b"QSlice\x00\x01"
ECHO = struct.Struct("!BBHHH8s8sI")  # type, code, checksum, identifier, sequence, magic, token, long sequence
DATAGRAM = struct.Struct("!8sI")  # flow, sequence number
SOL_RAW, ICMP_FILTER = 255, 1  # linux/icmp.h
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER_BYTES = 8 << 20
MAX_LAG_S = 0.05  # a sender that was held up longer skips what it missed rather than bursting


def icmp_checksum(words: bytes) -> int:
    """RFC 1071 over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(token: bytes, sequence: int) -> bytes:
    """An echo request that carries whose it is (``token``, 8 bytes) and a sequence number beyond 16 bits."""
    head = ECHO.pack(ECHO_REQUEST, 0, 0, 0x5153, sequence & 0xFFFF, MAGIC, token, sequence)
    return head[:2] + struct.pack("!H", icmp_checksum(head)) + head[4:]


def parse_echo(packet: bytes) -> tuple[int, bytes, int] | None:
    """(type, token, sequence) of one of our echo messages in an IPv4 packet, None for anything else."""
    offset = (packet[0] & 15) * 4
    if len(packet) < offset + ECHO.size:
        return None
    kind, _, _, _, _, magic, token, sequence = ECHO.unpack_from(packet, offset)
    return (kind, token, sequence) if magic == MAGIC else None


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


@dataclass
class Sender:
    """Sequence-numbered datagrams at a fixed rate; what the socket refuses counts as sent, hence as lost."""

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


class Prober:
    def __init__(self) -> None:
        # select() takes its timeout in microseconds; epoll rounds up to milliseconds, too coarse for 1 kHz.
        self._selector = selectors.SelectSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._input = b""
        self._done = False
        self._streams: dict[bytes, PingStream] = {}
        self._senders: dict[bytes, Sender] = {}
        self._receivers: dict[bytes, Receiver] = {}
        self._arrived: dict[bytes, float] = {}  # when the first echo request of a token came here
        self._awaited: dict[bytes, Any] = {}  # id of the command to answer when it comes
        self._answered: set[bytes] = set()
        self._icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._icmp.setsockopt(
            SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY | 1 << ECHO_REQUEST) & 0xFFFFFFFF)
        )
        self._icmp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        self._icmp.setblocking(False)
        self._selector.register(self._icmp, selectors.EVENT_READ, self._on_icmp)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._on_input)

    def run(self) -> None:
        while not self._done:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._selector.select(timeout):
                if self._selector.get_map().get(key.fd) is key:  # not closed by what came just before
                    key.data()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()

    # Commands

    def _on_input(self) -> None:
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        if not chunk:
            self._done = True
            return
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            command = json.loads(line)
            try:
                result = getattr(self, "op_" + command["op"])(command)
            except (OSError, KeyError, ValueError) as error:
                self._answer(command["id"], error=f"{type(error).__name__}: {error}")
            else:
                if result is not None:
                    self._answer(command["id"], result)

    def _answer(self, command_id: Any, result: dict[str, Any] | None = None, error: str | None = None) -> None:
        answer = {"id": command_id, "result": result} if error is None else {"id": command_id, "error": error}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def _at(self, due: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (due, next(self._order), action))

    # Echo requests

    def op_first_reply(self, command: dict[str, Any]) -> None:
        """Ping until the first reply; the answer is its time, or an error after ``timeout_s``."""
        stream = self._start_stream(command)
        stream.answer_first = command["id"]

        def give_up() -> None:
            if stream.answer_first is not None:
                stream.answer_first, stream.running = None, False
                reason = stream.error or f"no reply to {len(stream.sent)} echo requests"
                self._answer(command["id"], error=reason)

        self._at(time.monotonic() + command["timeout_s"], give_up)

    def op_ping(self, command: dict[str, Any]) -> dict[str, Any]:
        """Start pinging; ``ping_stop`` ends it and has the result, ``ping_count`` says how many replies came."""
        self._start_stream(command)
        return {}

    def op_ping_count(self, command: dict[str, Any]) -> dict[str, Any]:
        stream = self._streams[bytes.fromhex(command["token"])]
        return {
            "sent": len(stream.sent),
            "replies": len(stream.replies),
            "last_sequence": max(stream.replies, default=-1),
        }

    def op_ping_stop(self, command: dict[str, Any]) -> dict[str, Any]:
        stream = self._streams[bytes.fromhex(command["token"])]
        stream.running = False
        return {"sent": stream.sent, "replies": sorted(stream.replies.items()), "error": stream.error}

    def _start_stream(self, command: dict[str, Any]) -> PingStream:
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
                stream.socket = _icmp_sender(stream.source)
            stream.sent.append(now)
            stream.socket.sendto(echo_request(stream.token, len(stream.sent) - 1), (stream.destination, 0))
        except OSError as error:  # the address or the route is not there yet, or the tunnel is stopped: keep trying
            stream.error = str(error)
        due = _next_due(due, now, stream.interval_s)
        self._at(due, lambda: self._tick_stream(stream, due))

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
                self._answer(command_id, {"at": now, "sent": len(stream.sent)})

    def op_first_arrival(self, command: dict[str, Any]) -> None:
        """Wait for the first echo request of ``token``; the answer is when it came, or an error after ``timeout_s``."""
        token = bytes.fromhex(command["token"])
        self._awaited[token] = command["id"]

        def give_up() -> None:
            command_id = self._awaited.pop(token, None)
            if command_id is not None:
                self._answer(command_id, error="no echo request came")

        self._at(time.monotonic() + command["timeout_s"], give_up)
        if token in self._arrived:
            self._answer(self._awaited.pop(token), {"at": self._arrived[token]})

    def _note_arrival(self, token: bytes, now: float) -> None:
        at = self._arrived.setdefault(token, now)
        command_id = self._awaited.pop(token, None)
        if command_id is not None:
            self._answer(command_id, {"at": at})

    # Reachability: one echo request per attempt, told apart by token at both ends

    def op_reach(self, command: dict[str, Any]) -> None:
        """Send one echo request per probe (token, source, destination, device); answer ``wait_s`` after the last."""
        probes = command["probes"]
        refused: dict[str, str] = {}

        def send_one(index: int) -> None:
            if index == len(probes):
                finished = {"refused": refused}
                self._at(time.monotonic() + command["wait_s"], lambda: self._answer(command["id"], finished))
                return
            probe = probes[index]
            try:
                with _icmp_sender(probe["source"], probe["device"]) as sender:
                    sender.sendto(echo_request(bytes.fromhex(probe["token"]), 0), (probe["destination"], 0))
            except OSError as error:
                refused[probe["token"]] = str(error)
            self._at(time.monotonic() + command["spacing_s"], lambda: send_one(index + 1))

        send_one(0)

    def op_sightings(self, command: dict[str, Any]) -> dict[str, Any]:
        """Tokens of the echo requests that arrived here and of the replies that came back here."""
        return {"arrived": [t.hex() for t in self._arrived], "answered": [t.hex() for t in self._answered]}

    # Sequence-numbered datagrams

    def op_receive(self, command: dict[str, Any]) -> dict[str, Any]:
        flow = bytes.fromhex(command["flow"])
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        sock.bind((command["address"], command["port"]))
        sock.setblocking(False)
        receiver = Receiver(sock, bytes.fromhex(command.get("needle", "")))
        self._receivers[flow] = receiver
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._on_datagrams(flow, receiver))
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

    def op_received(self, command: dict[str, Any]) -> dict[str, Any]:
        return _counts(self._receivers[bytes.fromhex(command["flow"])])

    def op_receive_stop(self, command: dict[str, Any]) -> dict[str, Any]:
        """Close a receiver; the answer is its counts, and with ``times`` when each datagram came. All that the kernel
        had when it was asked counts, but nobody's stream keeps it open."""
        flow = bytes.fromhex(command["flow"])
        receiver = self._receivers.pop(flow)
        self._on_datagrams(flow, receiver, most=RECEIVE_BUFFER_BYTES // DATAGRAM.size)
        self._selector.unregister(receiver.socket)
        receiver.socket.close()
        times = {"times": sorted(receiver.arrivals.items())} if command.get("times") else {}
        return {**_counts(receiver), **times}

    def op_send(self, command: dict[str, Any]) -> dict[str, Any]:
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
        due = _next_due(due, now, sender.interval_s)
        self._at(due, lambda: self._tick_sender(sender, due))

    def op_send_stop(self, command: dict[str, Any]) -> dict[str, Any]:
        sender = self._senders.pop(bytes.fromhex(command["flow"]))
        sender.running = False
        sender.socket.close()
        times = {"times": sender.times} if command.get("times") else {}
        return {"sent": sender.sent, "refused": sender.refused, **times}

    def op_hello(self, command: dict[str, Any]) -> dict[str, Any]:
        return {}


def _counts(receiver: Receiver) -> dict[str, Any]:
    return {
        "unique": len(receiver.arrivals),
        "duplicates": receiver.duplicates,
        "with_needle": receiver.with_needle,
    }


def _next_due(due: float, now: float, interval_s: float) -> float:
    return due + interval_s if now - due < MAX_LAG_S else now + interval_s


def _icmp_sender(source: str, device: str | None = None) -> socket.socket:
    """A raw socket that sends from ``source`` and receives nothing, tied to ``device`` when one is named."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF))
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((source, 0))
    except OSError:
        sock.close()
        raise
    return sock


def main() -> None:
    # Ctrl-C goes to the whole foreground group; the demo ends this process by closing its standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Prober().run()


if __name__ == "__main__":
    main()
