"""Isolation: echo requests between every ordered pair of endpoints that share no connection.

Each is tried as the host would route it, and forced out of the host's data interface and out of the sender's own
tunnel interface, so that a route that happens to be missing does not pass for isolation. A pair counts as reachable
when any of its requests arrives at the other host (one way is a leak too) or is answered. The same requests between
the two ends of every connection must get through: the positive control.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.measure.connection import Connection, Endpoint
from scripts.measure.errors import MeasurementError
from scripts.measure.probes.probers import Probers, new_token, result_of
from scripts.measure.system import System

WAIT_S = 1.0
SPACING_S = 0.0005
DATA_INTERFACE = "data0"


@dataclass(frozen=True)
class Attempt:
    """One echo request: from whom to whom, and out of which interface (None: as routed)."""

    source: Endpoint
    destination: Endpoint
    device: str | None
    token: str


@dataclass(frozen=True)
class IsolationResult:
    """Counts of ordered pairs; ``leaks`` names what got through, ``unheard`` the connected pairs that did not."""

    pairs: int
    reachable: int
    control_pairs: int
    control_reachable: int
    attempts: int
    leaks: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()


def endpoints_of(connections: Sequence[Connection]) -> tuple[Endpoint, ...]:
    return tuple(sorted({end for c in connections for end in c.ends}, key=lambda e: (e.host, e.address)))


def split_pairs(
    connections: Sequence[Connection],
) -> tuple[list[tuple[Endpoint, Endpoint]], list[tuple[Endpoint, Endpoint]]]:
    """Ordered pairs on different hosts: those that share no connection, and those that do."""
    connected = {pair for c in connections for pair in (c.ends, (c.ends[1], c.ends[0]))}
    ends = endpoints_of(connections)
    apart = [(a, b) for a in ends for b in ends if a.host != b.host and (a, b) not in connected]
    return apart, sorted(connected, key=str)


def judge_isolation(
    attempts: Sequence[Attempt],
    control: Sequence[Attempt],
    arrived: dict[str, set[str]],
    answered: dict[str, set[str]],
) -> IsolationResult:
    """Verdict from the tokens that ``arrived`` at each host and were ``answered`` to each host."""
    leaks = [a for a in attempts if a.token in arrived[a.destination.host] or a.token in answered[a.source.host]]
    heard = [a for a in control if a.token in arrived[a.destination.host] and a.token in answered[a.source.host]]
    unheard = set(control) - set(heard)
    return IsolationResult(
        pairs=len({(a.source, a.destination) for a in attempts}),
        reachable=len({(a.source, a.destination) for a in leaks}),
        control_pairs=len(control),
        control_reachable=len(heard),
        attempts=len(attempts),
        leaks=tuple(f"{a.source} to {a.destination} {_via(a)}" for a in leaks),
        unheard=tuple(sorted(f"{a.source} to {a.destination}" for a in unheard)),
    )


def _via(attempt: Attempt) -> str:
    return f"forced out of {attempt.device}" if attempt.device else "as routed"


def interfaces_by_address(system: System, host: str) -> dict[str, str]:
    """Which interface of the host holds which IPv4 address."""
    shown = system.run(host, ["ip", "-j", "-4", "address", "show"])
    try:
        return {
            address["local"]: interface["ifname"]
            for interface in json.loads(shown.stdout)
            if interface
            for address in interface.get("addr_info", ())
        }
    except (json.JSONDecodeError, KeyError) as error:
        raise MeasurementError(f"{host}: cannot read its addresses: {shown.stderr.strip() or error}") from error


def check_isolation(
    system: System, probers: Probers, connections: Sequence[Connection], wait_s: float = WAIT_S
) -> IsolationResult:
    """Try every pair, all hosts at the same time."""
    apart, connected = split_pairs(connections)
    hosts = sorted({end.host for end in endpoints_of(connections)})
    held = {host: interfaces_by_address(system, host) for host in hosts}
    attempts = []
    for source, destination in apart:
        own = held[source.host].get(source.address)
        devices = dict.fromkeys((None, DATA_INTERFACE, own))
        attempts += [Attempt(source, destination, device, new_token()) for device in devices]
    control = [Attempt(source, destination, None, new_token()) for source, destination in connected]
    running = []
    for host in hosts:
        probes = [
            {"token": a.token, "source": a.source.address, "destination": a.destination.address, "device": a.device}
            for a in (*control, *attempts)
            if a.source.host == host
        ]
        running.append(probers[host].submit("reach", probes=probes, wait_s=wait_s, spacing_s=SPACING_S))
    for future in running:
        result_of(future, "trying the pairs", wait_s + SPACING_S * len(attempts) + 20)
    sightings = {host: probers[host].call("sightings") for host in hosts}
    return judge_isolation(
        attempts,
        control,
        {host: set(seen["arrived"]) for host, seen in sightings.items()},
        {host: set(seen["answered"]) for host, seen in sightings.items()},
    )
