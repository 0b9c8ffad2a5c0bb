"""Is what a channel carries ciphertext? Known markers are sent through connections and looked for on the fibre.

A distinctive random marker goes through each connection both ways while all channels of its path are captured. For an
encrypted connection the marker must be nowhere, on no captured channel; for a clear one it must be found on every
channel of its path but those that cards seal, on whose lines it must not be. Neither counts unless the capture saw the
connection's own packets on every channel of the path, at least as many as were sent, the kernel dropped none of the
capture, and the far end received the marker: a capture that looks in the wrong place finds no marker either.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.measure.capture.channels import ChannelCapture
from scripts.measure.capture.frames import Packet, is_between_cards, parse_frame
from scripts.measure.connection import Connection
from scripts.measure.polling import poll
from scripts.measure.probes.flows import Datagrams, flows_of, start_sending, stop_sending
from scripts.measure.probes.probers import Probers
from scripts.measure.system import System

PACKETS_EACH_WAY = 10
INTERVAL_S = 0.02
PAYLOAD_BYTES = 256
PORT = 5300
ARRIVAL_TIMEOUT_S = 2.0
SAMPLE_BYTES = 96


def new_marker() -> bytes:
    """A marker that a person can read in a hex dump and that chance does not produce."""
    return f"QSLICE-PLAINTEXT-{secrets.token_hex(8)}-".encode()


def contains_marker(frame: bytes, marker: bytes) -> bool:
    """Whether the marker's random part, either half of it, stands anywhere in the frame."""
    random_part = marker[-17:-1]
    return random_part[:8] in frame or random_part[8:] in frame


@dataclass(frozen=True)
class ChannelSighting:
    """What one channel showed of one connection. ``sample`` is the start of one of its packets' payload."""

    channel: str
    frames_seen: int
    marker_frames: int
    sample: bytes = b""


@dataclass(frozen=True)
class MarkerResult:
    """The verdict for one connection; ``ok`` is whether it is as its requirement says, ``detail`` why."""

    connection: str
    sent: int
    delivered: int
    sightings: tuple[ChannelSighting, ...]
    ciphertext_only: bool
    ok: bool
    detail: str
    is_readable: bool = False
    """Whether the marker stood on any captured channel, on the path or not."""


def belongs_to(packet: Packet, connection: Connection, encrypted: bool) -> bool:
    """Whether the packet carries the connection's data: ESP between its tunnel's ports, or its own addresses."""
    if encrypted:
        ports = {packet.source_port, packet.destination_port}
        return packet.is_esp_in_udp and ports == {connection.tunnel_port}
    return {packet.source, packet.destination} == {connection.src_address, connection.dst_address}


def judge(
    connection: Connection,
    marker: bytes,
    sent: int,
    delivered: int,
    frames: Mapping[str, Sequence[bytes]],
    dropped: Mapping[str, int],
    sealed: Collection[str] = (),
) -> MarkerResult:
    """What the captured ``frames`` (by channel) say about one connection. ``sealed`` channels were captured between
    two cards: whose packets these are cannot be told there, only that there are enough."""
    sightings = tuple(
        _sight(channel, connection, marker, frames.get(channel, ()), channel in sealed) for channel in connection.path
    )
    elsewhere = sum(
        contains_marker(frame, marker)
        for channel, captured in frames.items()
        if channel not in connection.path
        for frame in captured
    )
    unseen = [s.channel for s in sightings if s.frames_seen < sent]
    lossy = [channel for channel in connection.path if dropped.get(channel, 0)]
    readable = [s.channel for s in sightings if s.marker_frames]
    inconclusive = ""
    if not connection.path:
        inconclusive = "it has no path to capture on"
    elif not sent or delivered < sent:
        inconclusive = f"only {delivered} of {sent} marked packets arrived, so the capture proves nothing"
    elif unseen:
        inconclusive = f"the capture saw fewer than the {sent} packets sent on {', '.join(unseen)}: it proves nothing"
    elif lossy:
        inconclusive = f"the kernel dropped captured frames on {', '.join(lossy)}"
    reason = inconclusive
    if connection.is_encrypted and (readable or elsewhere):
        # Readable is readable, whatever else the capture missed.
        reason = f"the marker is readable on {', '.join(readable) or 'a channel outside the path'}"
    elif leaking := [c for c in readable if c in sealed]:
        reason = f"the marker of a clear connection is readable on the sealed line of {', '.join(leaking)}"
    elif not inconclusive and not connection.is_encrypted:
        missing = [c for c in connection.path if c not in readable and c not in sealed]
        reason = f"the marker of a clear connection was not found on {', '.join(missing)}" if missing else ""
    seen = ", ".join(f"{s.frames_seen} on {s.channel}" for s in sightings)
    found = "marker found on every channel that no card seals" if readable else "marker absent"
    return MarkerResult(
        connection.id, sent, delivered, sightings,
        ciphertext_only=not inconclusive and not readable and not elsewhere,
        ok=not reason,
        detail=reason or f"{found}; frames seen: {seen}",
        is_readable=bool(readable or elsewhere),
    )  # fmt: skip


def _sight(
    channel: str, connection: Connection, marker: bytes, frames: Iterable[bytes], is_sealed: bool
) -> ChannelSighting:
    seen, with_marker, sample = 0, 0, b""
    for frame in frames:
        packet = parse_frame(frame)
        is_of_line = packet is not None and is_sealed and is_between_cards(packet)
        is_of_it = packet is not None and not is_sealed and belongs_to(packet, connection, connection.is_encrypted)
        if packet is not None and (is_of_line or is_of_it):
            seen += 1
            sample = sample or packet.payload[:SAMPLE_BYTES]
        with_marker += contains_marker(frame, marker)
    return ChannelSighting(channel, seen, with_marker, sample)


def look_for_markers(
    system: System,
    probers: Probers,
    connections: Sequence[Connection],
    make_marker: Callable[[], bytes] = new_marker,
    slowness: float = 1.0,
) -> dict[str, MarkerResult]:
    """Send a marker through every connection, both ways at once, capturing all their channels; by connection id."""
    channels = sorted({channel for c in connections for channel in c.path})
    markers = {c.id: make_marker() for c in connections}
    flows = flows_of(connections)
    plan = [
        (flow, Datagrams(PORT, INTERVAL_S, PAYLOAD_BYTES, markers[flow.connection.id], PACKETS_EACH_WAY))
        for flow in flows
    ]

    def all_arrived() -> bool:
        return all(flow.received(probers)["with_needle"] >= PACKETS_EACH_WAY for flow in flows)

    for flow in flows:
        flow.listen(probers, PORT, markers[flow.connection.id])
    taps = {channel: system.tap_of(channel) for channel in channels}
    sealed = [channel for channel, tap in taps.items() if tap.holder is not None]
    frames: dict[str, list[bytes]] = {channel: [] for channel in channels}
    with ChannelCapture(taps, lambda channel, frame: frames[channel].append(frame)) as capture:
        start_sending(probers, plan)
        poll(all_arrived, PACKETS_EACH_WAY * INTERVAL_S + ARRIVAL_TIMEOUT_S * slowness, 0.1)
    sent_by_flow = stop_sending(probers, flows)
    sent: Counter[str] = Counter()
    delivered: Counter[str] = Counter()
    for flow in flows:
        sent[flow.connection.id] += sent_by_flow[flow.id]
        got = probers[flow.receiver.host].call("receive_stop", flow=flow.id)
        delivered[flow.connection.id] += got["with_needle"]
    return {
        c.id: judge(c, markers[c.id], sent[c.id], delivered[c.id], frames, capture.dropped, sealed) for c in connections
    }
