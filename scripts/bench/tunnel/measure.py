"""The single measurements: one TCP stream, UDP of one packet size, echo requests; each as iperf3 and ping see it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.bench.tunnel.carriers import Carrier
from scripts.measure.errors import MeasurementError
from scripts.measure.polling import poll

WARM_UP_S = 0.5
PINGS = 300
PING_INTERVAL_S = 0.003
PORT = 5201


@dataclass(frozen=True)
class Stream:
    """What has arrived. ``cpu_s`` is the tunnel processes' time, both ends together."""

    gbps: float
    packets_per_s: float
    lost_share: float
    retransmits: int
    cpu_s_per_gbit: float


def tcp(carrier: Carrier, seconds: float) -> Stream:
    """One TCP stream from a to b."""
    before = carrier.cpu_s()
    report = _iperf(carrier, seconds, ())
    used = carrier.cpu_s() - before
    sent, received = report["end"]["sum_sent"], report["end"]["sum_received"]
    share = seconds / (seconds + WARM_UP_S)  # of the time that the processes worked, what iperf3 counts
    gbits = received["bytes"] * 8 / 1e9
    return Stream(received["bits_per_second"] / 1e9, 0.0, 0.0, int(sent.get("retransmits", 0)), used * share / gbits)


def udp(carrier: Carrier, seconds: float, payload_bytes: int, rate: str = "0") -> Stream:
    """Datagrams of one size from a to b, as fast as iperf3 can (or at ``rate``, as iperf3 writes it)."""
    before = carrier.cpu_s()
    options = ("-u", "-b", rate, "-l", str(payload_bytes), "-w", "4M")
    summary = _iperf(carrier, seconds, options)["end"]["sum"]
    used = carrier.cpu_s() - before
    packets, lost = summary["packets"], summary["lost_packets"]
    arrived = max(packets - lost, 0)
    gbits = arrived * payload_bytes * 8 / 1e9
    share = seconds / (seconds + WARM_UP_S)
    return Stream(
        gbits / summary["seconds"], arrived / summary["seconds"], lost / packets if packets else 1.0, 0,
        used * share / gbits if gbits else 0.0,
    )  # fmt: skip


def round_trips_us(carrier: Carrier) -> list[float]:
    """Round trips of echo requests on an otherwise idle way, each in microseconds."""
    argv = ("ping", "-c", str(PINGS), "-i", str(PING_INTERVAL_S), "-W", "1", carrier.addresses["b"])
    done = carrier.wire.run("a", argv)
    found = [1e3 * float(time) for time in re.findall(r"time=([0-9.]+) ms", done.stdout)]
    if len(found) < PINGS // 2:
        raise MeasurementError(f"{len(found)} of {PINGS} echo requests were answered")
    return found


def _iperf(carrier: Carrier, seconds: float, options: Sequence[str]) -> dict[str, Any]:
    wire = carrier.wire
    server = wire.popen(
        "b", ("iperf3", "-s", "-1", "-B", carrier.addresses["b"], "-p", str(PORT)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        listening = ("ss", "-Htln", "sport", "=", f":{PORT}")
        if not poll(lambda: str(PORT) in wire.run("b", listening).stdout, 5.0, 0.02):
            raise MeasurementError("iperf3 does not listen")
        argv = [
            "iperf3", "-c", carrier.addresses["b"], "-B", carrier.addresses["a"], "-p", str(PORT), "-J",
            "-t", str(max(1, round(seconds))), "-O", str(WARM_UP_S), *options,
        ]  # fmt: skip
        try:
            done = wire.run("a", argv, timeout_s=seconds + 30)
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"iperf3 did not end: {' '.join(argv)}") from error
        try:
            report: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError as error:
            raise MeasurementError(f"iperf3: {done.stdout[:200]}{done.stderr[:200]}") from error
        if "error" in report:
            raise MeasurementError(f"iperf3: {report['error']}")
        return report
    finally:
        server.terminate()
        try:
            server.wait(5.0)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
