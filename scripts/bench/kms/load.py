"""A light load for a KMS: one thread, non-blocking TLS connections that are kept alive, requests made beforehand.

It stands beside the server that it measures, on the same machine, so it is as cheap as Python allows: answers are not
parsed but cut out by their Content-Length, and of a key container only the ids are looked for. That both ends got the
same keys is checked all the same, for every pair: the two containers are compared byte by byte.
"""

from __future__ import annotations

import heapq
import re
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import DidNotHold

_KEY_ID = re.compile(rb'"key_ID": ?"([0-9a-f-]{36})"')
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (\d+)\r\n")
_CHUNK = 1 << 17
_PATIENCE_S = 30.0  # for answers that are still owed when a run ends
OK = 200

Done = Callable[[int, bytes], None]


@dataclass(frozen=True)
class Target:
    """A KME to ask, as an SAE: its address and the directory with cert.pem, key.pem, ca.pem."""

    host: str
    port: int
    credentials: Path
    sae: str

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.credentials / "ca.pem"))
        context.load_cert_chain(self.credentials / "cert.pem", self.credentials / "key.pem")
        return context


class Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, target: Target, context: ssl.SSLContext, selector: selectors.BaseSelector) -> None:
        raw = socket.create_connection((target.host, target.port), timeout=30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(raw, server_hostname=target.host)
        self._socket.setblocking(False)
        self._answer = bytearray()
        self._wanted = 0  # length of the answer's head and body, once known
        self._done: Done | None = None
        self._unsent = b""
        self._selector = selector
        selector.register(self._socket, selectors.EVENT_READ, self)

    @property
    def is_idle(self) -> bool:
        return self._done is None

    def send(self, request: bytes, done: Done) -> None:
        """``done(status, body)`` is called when the answer is there; status 0 when the connection broke."""
        assert self._done is None
        self._done = done
        self._unsent = request
        self._write()

    def on_ready(self) -> None:
        if self._unsent:
            self._write()
        while self._done is not None:
            try:
                received = self._socket.recv(_CHUNK)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                received = b""
            if not received:
                self._selector.unregister(self._socket)
                self._end(0, b"")
                return
            self._answer += received
            self._look()

    def close(self) -> None:
        self._socket.close()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError:
            self._end(0, b"")
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._selector.modify(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        elif not sent or self._selector.get_key(self._socket).events != selectors.EVENT_READ:
            self._selector.modify(self._socket, selectors.EVENT_READ, self)

    def _look(self) -> None:
        if not self._wanted:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._answer, 0, end + 2)
            if length is None:
                self._end(0, b"")
                return
            self._wanted = end + 4 + int(length[1])
        if len(self._answer) >= self._wanted:
            body = self._answer.find(b"\r\n\r\n") + 4
            self._end(int(self._answer[9:12]), bytes(self._answer[body : self._wanted]))

    def _end(self, status: int, body: bytes) -> None:
        done, self._done = self._done, None
        self._answer.clear()
        self._wanted = 0
        if done is not None:
            done(status, body)


@dataclass
class Tally:
    """What a run saw. Latencies in seconds, in the order in which answers came."""

    enc_s: list[float] = field(default_factory=list)
    dec_s: list[float] = field(default_factory=list)
    keys: int = 0  # fetched at both ends
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return len(self.enc_s) + len(self.dec_s)

    @property
    def latencies_ms(self) -> list[float]:
        return [1e3 * s for s in (*self.enc_s, *self.dec_s)]


class Pair:
    """A master and its slave, each with a connection to its own KME: fetches keys at both ends and compares them."""

    def __init__(self, fleet: Fleet, master: Target, slave: Target, number: int, source: str) -> None:
        self._fleet = fleet
        self._master, self._slave = (fleet.connect(target) for target in (master, slave))
        body = b'{"number": %d, "extension_mandatory": [{"key_source": "%s"}]}' % (number, source.encode())
        self._enc = _post(f"/api/v1/keys/{slave.sae}/enc_keys", master.host, body)
        self._dec_path = f"/api/v1/keys/{master.sae}/dec_keys", slave.host

    def fetch(self, since: float, then: Callable[[], None]) -> None:
        """One exchange; the first latency counts from ``since``."""
        tally = self._fleet.tally

        def delivered(status: int, container: bytes) -> None:
            now = time.perf_counter()
            ids = _KEY_ID.findall(container)
            if status != OK or not ids:
                fail("enc_keys", status, container)
                return
            tally.enc_s.append(now - since)
            self._slave.send(_post(*self._dec_path, _ids_body(ids)), lambda s, c: fetched(now, container, ids, s, c))

        def fetched(asked: float, container: bytes, ids: Sequence[bytes], status: int, twin: bytes) -> None:
            if status != OK:
                fail("dec_keys", status, twin)
                return
            if twin != container:
                fail("the ends differ", status, b"")
                return
            tally.dec_s.append(time.perf_counter() - asked)
            tally.keys += len(ids)
            then()

        def fail(what: str, status: int, body: bytes) -> None:
            # A refusal holds no key; what an answer of 200 holds is not repeated.
            said = body[:200].decode(errors="replace") if status != OK else ""
            tally.failures.append(f"{what}: {status} {said}")
            if status:
                then()

        self._master.send(self._enc, delivered)

    @property
    def is_idle(self) -> bool:
        return self._master.is_idle and self._slave.is_idle


class Fleet:
    """Connections, and the loops that keep them busy."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._contexts: dict[Path, ssl.SSLContext] = {}
        self.tally = Tally()

    def connect(self, target: Target) -> Connection:
        if target.credentials not in self._contexts:
            self._contexts[target.credentials] = target.context()
        connection = Connection(target, self._contexts[target.credentials], self._selector)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._selector.close()

    def warm_up(self, pairs: Sequence[Pair]) -> None:
        """One exchange each: a client takes itself for connected before the server has checked its certificate."""
        self.tally = Tally()
        for pair in pairs:
            pair.fetch(time.perf_counter(), lambda: None)
        self._drain(pairs)
        if self.tally.failures:
            raise DidNotHold(f"the KMS refuses already the first requests: {self.tally.failures[0]}")

    def closed_loop(self, pairs: Sequence[Pair], seconds: float) -> Tally:
        """Every pair asks again as soon as it has its answer."""
        self.warm_up(pairs)
        self.tally = Tally()
        started = time.perf_counter()
        ends = started + seconds

        def again(pair: Pair) -> None:
            now = time.perf_counter()
            if now < ends:
                pair.fetch(now, lambda: again(pair))

        for pair in pairs:
            again(pair)
        self._turn_until(lambda: time.perf_counter() >= ends, lambda: ends)
        self.tally.seconds = time.perf_counter() - started
        tally = self.tally
        self._drain(pairs)
        return tally

    def open_loop(self, pairs: Sequence[Pair], applications: int, period_s: float, seconds: float) -> Tally:
        """Each application fetches a key at both ends once in ``period_s``, however long the last one took.

        Applications are spread evenly over the period and share ``pairs``. A latency counts from the moment when the
        exchange was due, so that what had to wait for a slow server is not left out.
        """
        self.warm_up(pairs)
        self.tally = Tally()
        started = time.perf_counter()
        due = [(started + n * period_s / applications, n) for n in range(applications)]
        ends = started + seconds
        idle = list(pairs)
        waiting: deque[float] = deque()  # when the exchanges were due that have no pair yet

        def go(since: float) -> None:
            pair = idle.pop()

            def free() -> None:
                idle.append(pair)
                if waiting:
                    go(waiting.popleft())

            pair.fetch(since, free)

        def launch() -> bool:
            now = time.perf_counter()
            while due[0][0] <= now and due[0][0] < ends:
                at, n = due[0]
                heapq.heapreplace(due, (at + period_s, n))
                if idle:
                    go(at)
                else:
                    waiting.append(at)
            return now >= ends

        self._turn_until(launch, lambda: due[0][0])
        self._drain(pairs)
        self.tally.failures += ["never answered"] * len(waiting)
        self.tally.seconds = seconds
        return self.tally

    def _drain(self, pairs: Sequence[Pair]) -> None:
        """Let the exchanges that are under way end; what is not answered by then failed."""
        latest = time.perf_counter() + _PATIENCE_S
        self._turn_until(lambda: all(pair.is_idle for pair in pairs) or time.perf_counter() > latest, lambda: latest)
        self.tally.failures += ["never answered"] * sum(not pair.is_idle for pair in pairs)

    def _turn_until(self, is_over: Callable[[], bool], next_due: Callable[[], float]) -> None:
        while not is_over():
            for key, _ in self._selector.select(max(0.0, next_due() - time.perf_counter())):
                key.data.on_ready()


def _post(path: str, host: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _ids_body(ids: Sequence[bytes]) -> bytes:
    return b'{"key_IDs": [' + b", ".join(b'{"key_ID": "%s"}' % key_id for key_id in ids) + b"]}"
