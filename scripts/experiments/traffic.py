"""Adapter: the scenario's traffic on a running system, and what came of each probe."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.experiments.report.statistics import Sample
from scripts.experiments.scripted.scenario import Traffic
from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.polling import poll
from scripts.measure.probes.probers import Probers, new_token, result_of
from scripts.measure.programs.children import Children, finish, wait_for_output
from scripts.measure.programs.iperf import PORT as IPERF_PORT
from scripts.measure.programs.iperf import parse_iperf
from scripts.measure.system import System

UDP_PORT = 5600
FIRST_REPLY_TIMEOUT_S = 5.0
SETTLE_S = 0.4  # a probe without an answer counts as lost once others have had this long
FILL = b"experiment"


@dataclass(frozen=True)
class Series:
    """One kind of probe over one connection. ``mbps`` is iperf3's goodput, ``error`` why there is nothing."""

    connection: str
    kind: str
    samples: tuple[Sample, ...] = ()
    mbps: float | None = None
    error: str = ""


@dataclass
class _Running:
    connection: Connection
    kind: str
    name: str
    client: subprocess.Popen[bytes] | None = None


class TrafficRun:
    """The traffic of one repetition. Use it as a context manager: leaving it ends everything."""

    def __init__(
        self,
        system: System,
        probers: Probers,
        connections: Sequence[Connection],
        traffic: Sequence[Traffic],
        lasts_s: float,
    ) -> None:
        self._probers, self._traffic, self._lasts_s = probers, traffic, lasts_s
        self._connections = {c.id: c for c in connections}
        self._children = Children(system)
        self._running: list[_Running] = []
        self.errors: list[str] = []

    def __enter__(self) -> TrafficRun:
        try:
            for n, traffic in enumerate(self._traffic):
                for connection in self._chosen(traffic):
                    self._start(connection, traffic, UDP_PORT + n)
        except BaseException:
            self._children.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._children.end()
        self._children.close_pipes()

    def wait_for_replies(self) -> None:
        """Until every echo request stream has had an answer; who has none is named in ``errors``."""
        for running in self._running:
            if running.kind != "ping":
                continue
            prober = self._probers[running.connection.src]
            if not poll(
                lambda p=prober, r=running: p.call("ping_count", token=r.name)["replies"] > 0,  # type: ignore[misc]
                FIRST_REPLY_TIMEOUT_S,
            ):
                self.errors.append(f"{running.connection.id} answers no ping before the first fault")

    def stop(self, zero: float) -> tuple[Series, ...]:
        """End it; times are seconds after ``zero`` (CLOCK_MONOTONIC)."""
        now = time.monotonic()
        return tuple(self._stop(running, zero, now) for running in self._running)

    def _chosen(self, traffic: Traffic) -> list[Connection]:
        wanted = self._connections if traffic.connections is None else traffic.connections
        return [self._connections[i] for i in wanted]

    def _start(self, c: Connection, traffic: Traffic, port: int) -> None:
        name = new_token()
        running = _Running(c, traffic.kind, name)
        interval_s = 1 / traffic.rate_pps
        if traffic.kind == "ping":
            self._probers[c.src].call(
                "ping", token=name, source=c.src_address, destination=c.dst_address, interval_s=interval_s
            )
        elif traffic.kind == "udp":
            self._probers[c.dst].call("receive", flow=name, address=c.dst_address, port=port)
            self._probers[c.src].call(
                "send", flow=name, source=c.src_address, destination=c.dst_address, port=port,
                interval_s=interval_s, size=traffic.size_bytes, fill=FILL.hex(), limit=0,
            )  # fmt: skip
        else:
            server = self._children.start(
                c.dst, ["iperf3", "-s", "-1", "--forceflush", "-B", c.dst_address, "-p", str(IPERF_PORT)]
            )
            try:
                wait_for_output(server, b"listening", 5.0)
            except MeasurementError as error:
                self.errors.append(f"{c.id}: {error}")
                return
            argv = ["iperf3", "-c", c.dst_address, "-B", c.src_address, "-p", str(IPERF_PORT), "-J"]
            running.client = self._children.start(c.src, [*argv, "-t", str(max(1, round(self._lasts_s)))])
        self._running.append(running)

    def _stop(self, running: _Running, zero: float, now: float) -> Series:
        c = running.connection
        last = now - SETTLE_S
        try:
            if running.kind == "ping":
                answer = self._probers[c.src].call("ping_stop", token=running.name)
                replies = dict(answer["replies"])
                samples = _samples(answer["sent"], replies, zero, last)
                return Series(c.id, "ping", samples)
            if running.kind == "udp":
                sent = self._probers[c.src].call("send_stop", flow=running.name, times=True)["times"]
                arrivals = dict(self._probers[c.dst].call("receive_stop", flow=running.name, times=True)["times"])
                return Series(c.id, "udp", _samples(sent, arrivals, zero, last))
            assert running.client is not None
            out, err = finish(running.client, self._lasts_s + 10)
            return Series(c.id, "iperf3", mbps=parse_iperf(out or err).received_mbps)
        except MeasurementError as error:
            return Series(c.id, running.kind, error=str(error))


def _samples(sent: Sequence[float], arrived: dict[int, float], zero: float, last: float) -> tuple[Sample, ...]:
    return tuple(
        Sample(at - zero, (arrived[n] - at) * 1e3 if n in arrived else None) for n, at in enumerate(sent) if at <= last
    )


def all_answer(probers: Probers, connections: Sequence[Connection], timeout_s: float) -> list[str]:
    """The connections that do not answer an echo request within ``timeout_s``."""
    asked = {
        c.id: probers[c.src].submit(
            "first_reply", token=new_token(), source=c.src_address, destination=c.dst_address, interval_s=0.05,
            timeout_s=timeout_s,
        )
        for c in connections
    }  # fmt: skip
    silent = []
    for connection_id, future in asked.items():
        with contextlib.suppress(MeasurementError):
            result_of(future, connection_id, timeout_s + 5)
            continue
        silent.append(connection_id)
    return silent
