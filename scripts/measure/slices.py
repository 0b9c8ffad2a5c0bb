"""Making and deleting slices through the northbound API, timed as a user sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.measure.connection import Connection, connections_of
from scripts.measure.errors import ApiError, ApiRefusal, MeasurementError
from scripts.measure.polling import poll
from scripts.measure.probes.probers import Probers, new_token, result_of
from scripts.measure.system import System
from scripts.testbed.clients import every_slice
from scripts.testbed.running_system import RunningSystem
from topologies.files.located_yaml import load_located

EXAMPLES = Path(__file__).parent.parent / "examples"
ACTIVE = "active"
ACTIVE_TIMEOUT_S = 30.0
GONE_TIMEOUT_S = 15.0
POLL_S = 0.02
FIRST_PACKET_INTERVAL_S = 0.002
FIRST_PACKET_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Provisioned:
    """A slice that is ACTIVE. ``first_packet_ms`` is the latest of its connections', from the request on."""

    connections: tuple[Connection, ...]
    provision_ms: float
    timings_ms: dict[str, Any]
    started: float  # CLOCK_MONOTONIC seconds of the request


def load_request(name: str, directory: Path = EXAMPLES) -> dict[str, Any]:
    """The example request called ``name``."""
    request, _ = load_located((directory / f"{name}.yaml").read_text(encoding="utf-8"))
    if not isinstance(request, dict):
        raise ApiError(f"{directory / name}.yaml is not a slice request")
    return request


def create_slice(system: System, request: Mapping[str, Any], slowness: float = 1.0) -> Provisioned:
    """POST the request and wait until the slice is ACTIVE; ApiError with the API's reason when it is refused."""
    name = str(request["name"])
    started = time.monotonic()
    status, answer = system.api("POST", "/v1/slices", dict(request))
    if status not in (201, 202):
        raise refusal(f"creating slice {name}", status, answer)

    def active() -> bool:
        nonlocal answer
        if _state(answer) != ACTIVE:
            _, answer = system.api("GET", f"/v1/slices/{name}")
        return _state(answer) == ACTIVE

    timeout_s = ACTIVE_TIMEOUT_S * slowness
    if not poll(active, timeout_s, POLL_S * slowness):
        raise ApiError(f"slice {name} is {answer.get('state')!r} after {timeout_s:g} s, not {ACTIVE}")
    took_ms = (time.monotonic() - started) * 1e3
    return Provisioned(connections_of(answer, request), took_ms, dict(answer.get("timings_ms") or {}), started)


def first_packet_ms(probers: Probers, provisioned: Provisioned, slowness: float = 1.0) -> float:
    """Until every connection of the slice has answered an echo request, from the request for the slice on."""
    timeout_s = FIRST_PACKET_TIMEOUT_S * slowness
    probing = {
        c.id: probers[c.src].submit(
            "first_reply",
            token=new_token(),
            source=c.src_address,
            destination=c.dst_address,
            interval_s=FIRST_PACKET_INTERVAL_S * slowness,
            timeout_s=timeout_s,
        )
        for c in provisioned.connections
    }
    latest = provisioned.started
    for connection_id, future in probing.items():
        try:
            latest = max(latest, float(result_of(future, connection_id, timeout_s + 5)["at"]))
        except MeasurementError as error:
            raise MeasurementError(f"first packet of {connection_id}: {error}") from error
    return (latest - provisioned.started) * 1e3


def refresh_connections(system: System, requests: Sequence[Mapping[str, Any]]) -> dict[str, Connection]:
    """All connections of the requested slices as the API describes them now, by id."""
    found: dict[str, Connection] = {}
    for request in requests:
        status, answer = system.api("GET", f"/v1/slices/{request['name']}")
        if status != 200:
            raise refusal(f"slice {request['name']}", status, answer)
        found |= {c.id: c for c in connections_of(answer, request)}
    return found


def delete_slice(system: System, name: str, slowness: float = 1.0) -> float:
    """DELETE the slice and wait until the API no longer knows it; milliseconds."""
    started = time.monotonic()
    status, answer = system.api("DELETE", f"/v1/slices/{name}")
    if status not in (200, 202, 204):
        raise refusal(f"deleting slice {name}", status, answer)
    timeout_s = GONE_TIMEOUT_S * slowness
    if not poll(lambda: system.api("GET", f"/v1/slices/{name}")[0] == 404, timeout_s, POLL_S * slowness):
        raise ApiError(f"slice {name} is still there {timeout_s:g} s after its deletion")
    return (time.monotonic() - started) * 1e3


def what_remains(system: System, connection_ids: Sequence[str]) -> list[str]:
    """What of the deleted slices is still to be found: slices, reservations, tunnels. Empty when nothing is."""
    remains = []
    status, slices = every_slice(system.api)
    if status != 200:
        raise refusal("listing slices", status, slices)
    remains += [f"slice {s['name']}" for s in slices]
    status, answer = system.api("GET", "/v1/topology")
    if status != 200 or not answer.get("channels"):
        raise refusal("reading the topology", status, answer)
    for channel in answer["channels"]:
        if float(channel["reserved_mbps"]) != 0:
            remains.append(f"{channel['reserved_mbps']} Mbit/s reserved on {channel['id']}")
    for host in system.topology.site_names:
        remains += [f"tunnel of {c} on {host}" for c in sorted(set(system.tunnel_stats(host)) & set(connection_ids))]
    return remains


def _state(answer: Mapping[str, Any]) -> str:
    return str(answer.get("state", "")).lower()


def refusal(what: str, status: int, answer: Mapping[str, Any]) -> ApiRefusal:
    """The error for an RFC 9457 problem document; its message has all of it in one line."""
    text = " ".join(str(answer[key]) for key in ("title", "detail") if answer.get(key)) or str(dict(answer))[:200]
    reasons = answer.get("reasons") or []
    message = f"{what}: HTTP {status}: {text}" + (f"; {reasons}" if reasons else "")
    return ApiRefusal(message, status, answer.get("code"))


FIRST_KEYS_S = 60.0


def create_patiently(system: RunningSystem, request: Mapping[str, Any], slowness: float = 1.0) -> Provisioned:
    """As create_slice, again and again until there are keys: on a busy machine the first ones take a while."""
    until = time.monotonic() + FIRST_KEYS_S * slowness
    while True:
        try:
            return create_slice(system, request, slowness)
        except ApiRefusal as error:
            if not error.is_transient or time.monotonic() > until:
                raise
            time.sleep(1.0)
