"""Rekeying under load: numbered datagrams at a fixed rate, both ways on all connections, across several rekeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.polling import poll
from scripts.measure.probes.flows import Datagrams, flows_of, start_sending, stop_sending
from scripts.measure.probes.probers import Probers
from scripts.measure.system import System

REKEYS = 5
PAYLOAD_BYTES = 512
OVERHEAD_BYTES = 100  # IP, UDP, ESP, UDP, IP, Ethernet and the label: a meter counts them (ovs-issues#316)
SHARE_OF_BANDWIDTH = 0.5
MAX_PACKETS_PER_S = 200.0
DEADLINE_S = 30.0
POLL_S = 0.25
DRAIN_TIMEOUT_S = 2.0
PORT = 5400


@dataclass(frozen=True)
class LoadResult:
    """One connection: datagrams both ways, how many never came, and how often the key changed meanwhile."""

    connection: str
    rekeys: int
    sent: int
    lost: int
    duplicates: int
    packets_per_s: float


def packet_rate(bandwidth_mbps: float, slowness: float = 1.0) -> float:
    """Datagrams per second that stay well under the reserved bandwidth, headers included."""
    bits = 8 * (PAYLOAD_BYTES + OVERHEAD_BYTES)
    return min(MAX_PACKETS_PER_S, SHARE_OF_BANDWIDTH * bandwidth_mbps * 1e6 / bits) / slowness


def rekeys_of(system: System, connections: Sequence[Connection]) -> dict[str, int]:
    """How often what seals each connection has changed its key, by connection id: the tunnel, as its initiator counts;
    where the hosts seal nothing the cards on its path, and of these the one with the fewest changes."""
    stats = {host: system.tunnel_stats(host) for host in sorted({c.src for c in connections})}
    for c in connections:
        if c.id not in stats[c.src]:
            raise MeasurementError(f"the tunnel agent on {c.src} knows no connection {c.id}")
    return {
        c.id: int(stats[c.src][c.id]["rekeys"]) if "rekeys" in stats[c.src][c.id] else _changes_on_path(system, c)
        for c in connections
    }


def _changes_on_path(system: System, connection: Connection) -> int:
    changes = [changed for c in connection.path if (changed := system.key_changes_of(c)) is not None]
    if not changes:
        raise MeasurementError(f"nothing seals {connection.id}: neither a tunnel nor a card on its path")
    return min(changes)


def load_across_rekeys(
    system: System,
    probers: Probers,
    connections: Sequence[Connection],
    rekeys: int = REKEYS,
    deadline_s: float = DEADLINE_S,
    slowness: float = 1.0,
) -> dict[str, LoadResult]:
    """Load every connection both ways until each has changed its key ``rekeys`` times, or ``deadline_s`` (times
    ``slowness``) is over.
    """
    flows = flows_of(connections)
    for flow in flows:
        flow.listen(probers, PORT)
    before = rekeys_of(system, connections)
    gained = dict.fromkeys(before, 0)

    def enough() -> bool:
        now = rekeys_of(system, connections)
        gained.update({connection_id: now[connection_id] - before[connection_id] for connection_id in now})
        return min(gained.values()) >= rekeys

    start_sending(probers, [(flow, _datagrams(flow.connection, slowness)) for flow in flows])
    try:
        poll(enough, deadline_s * slowness, POLL_S * slowness)
    finally:
        sent = stop_sending(probers, flows)
    poll(lambda: all(flow.received(probers)["unique"] >= sent[flow.id] for flow in flows), DRAIN_TIMEOUT_S * slowness)
    results: dict[str, LoadResult] = {}
    for flow in flows:
        c = flow.connection
        got = probers[flow.receiver.host].call("receive_stop", flow=flow.id)
        one_way = LoadResult(
            connection=c.id,
            rekeys=gained[c.id],
            sent=sent[flow.id],
            lost=sent[flow.id] - int(got["unique"]),
            duplicates=int(got["duplicates"]),
            packets_per_s=packet_rate(c.bandwidth_mbps, slowness),
        )
        results[c.id] = _both_ways(results[c.id], one_way) if c.id in results else one_way
    return results


def _datagrams(connection: Connection, slowness: float) -> Datagrams:
    return Datagrams(PORT, 1 / packet_rate(connection.bandwidth_mbps, slowness), PAYLOAD_BYTES, b"load")


def _both_ways(there: LoadResult, back: LoadResult) -> LoadResult:
    return replace(
        there, sent=there.sent + back.sent, lost=there.lost + back.lost, duplicates=there.duplicates + back.duplicates
    )
