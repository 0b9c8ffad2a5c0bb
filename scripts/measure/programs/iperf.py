"""TCP throughput of connections with iperf3: a server on the far host, bound to the connection's address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.children import Children, finish, wait_for_output
from scripts.measure.system import System

PORT = 5201
DURATION_S = 2
READY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_MS = 3000
END_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class IperfResult:
    """Goodput as the receiver counted it, and the sender's retransmissions."""

    received_mbps: float
    retransmits: int


def parse_iperf(text: str) -> IperfResult:
    """The result in ``iperf3 --json`` output of a TCP client; MeasurementError with iperf3's own words otherwise."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise MeasurementError(f"iperf3 printed no JSON: {text.strip()[:200]!r}") from error
    if "error" in document:
        raise MeasurementError(f"iperf3: {document['error']}")
    try:
        end = document["end"]
        return IperfResult(
            received_mbps=float(end["sum_received"]["bits_per_second"]) / 1e6,
            retransmits=int(end["sum_sent"].get("retransmits", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementError(f"iperf3's JSON lacks {error}") from error


def iperf_together(
    system: System, connections: Sequence[Connection], duration_s: int = DURATION_S, slowness: float = 1.0
) -> dict[str, IperfResult | MeasurementError]:
    """Load all ``connections`` at the same time; by connection id, an error in place of a failed one."""
    results: dict[str, IperfResult | MeasurementError] = {}
    with Children(system) as children:
        servers = {}
        for c in connections:
            argv = ["iperf3", "-s", "-1", "--forceflush", "-B", c.dst_address, "-p", str(PORT)]
            servers[c.id] = children.start(c.dst, argv)
        clients = {}
        for c in connections:
            try:
                wait_for_output(servers[c.id], b"listening", READY_TIMEOUT_S * slowness)
            except MeasurementError as error:
                results[c.id] = error
                continue
            argv = ["iperf3", "-c", c.dst_address, "-B", c.src_address, "-p", str(PORT), "-t", str(duration_s), "-J"]
            clients[c.id] = children.start(c.src, [*argv, "--connect-timeout", f"{CONNECT_TIMEOUT_MS * slowness:.0f}"])
        for connection_id, client in clients.items():
            try:
                out, err = finish(client, duration_s + END_TIMEOUT_S * slowness)
                results[connection_id] = parse_iperf(out or err)
            except MeasurementError as error:
                results[connection_id] = error
    return results
