"""What is kept of each reroute, and its independent check: that the new way has the security that was asked for. Pure.

The check knows nothing of how routes are searched: it looks at the topology, the request and what was noted. The level
in force must be the one asked for or a fallback that the request lists, every channel's class must satisfy it, and the
keys must come from where it says: those of its tunnel, or where cards alone seal those of its weakest channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.cards import card_keys_of, weakest
from controller.model.connection import UNCONFIRMED_KEYS, Connection, Reroute
from controller.model.request import ConnectionRequest, Match
from controller.model.reroute import Cause
from topologies.spec import SecurityClass, Topology


@dataclass(frozen=True)
class Asked:
    """What a connection's request says about security and ends, in plain values."""

    src: str
    dst: str
    level: int
    is_exact: bool
    key_source: str
    fallback: tuple[str, ...] = ()
    hosts_seal: bool = True
    always: tuple[SecurityClass, ...] = ()

    @classmethod
    def of(cls, request: ConnectionRequest) -> Asked:
        security = request.spec.security
        return cls(
            request.src,
            request.dst,
            int(security.level),
            security.match is Match.EXACT,
            security.key_source,
            tuple(level.label for level in request.spec.fallback),
            request.spec.hosts_seal,
            security.always,
        )


def keys_of(topology: Topology, connection: Connection) -> str:
    """Where the keys come from under which a connection's traffic goes: its tunnel's, else its weakest channel's."""
    if connection.request.spec.hosts_seal or connection.route is None:
        return connection.key_source
    level = weakest(topology, connection.route.channels)
    return card_keys_of(level, connection.request.spec.security.always)


def note(
    topology: Topology, before: Connection, after: Connection, now: float, cause: Cause, *, is_keyed: bool = True
) -> Reroute:
    """What there is to say about a connection that has moved; ``now`` in seconds since the epoch.

    ``is_keyed``: the agents at both ends have said that they use keys of its source.
    """
    assert after.route is not None
    return Reroute(
        at=now,
        old_path=() if before.route is None else before.route.channels,
        new_path=after.route.channels,
        classes=tuple(topology.channel(c).security.label for c in after.route.channels),
        key_source=keys_of(topology, after) if is_keyed else UNCONFIRMED_KEYS,
        level=after.in_force.security.level.label,
        cause=cause.value,
        old_key_links=() if before.route is None else before.route.key_links,
        new_key_links=after.route.key_links,
    )


def check(topology: Topology, asked: Asked, reroute: Reroute) -> tuple[str, ...]:
    """What is wrong with a reroute; empty when it kept what was asked for."""
    wrong: list[str] = []
    here = asked.src
    level, key_source = asked.level, asked.key_source
    if reroute.level != SecurityClass(asked.level).label:
        if reroute.level not in asked.fallback:
            return (f"level {reroute.level} was neither asked for nor listed as a fallback",)
        level, key_source = int(SecurityClass.parse(reroute.level)), reroute.level
    if len(reroute.classes) != len(reroute.new_path):
        return ("the classes are not those of the path",)
    for channel_id, label in zip(reroute.new_path, reroute.classes, strict=True):
        if not topology.has_channel(channel_id):
            return (*wrong, f"there is no channel {channel_id}")
        channel = topology.channel(channel_id)
        if here not in channel.ends:
            return (*wrong, f"channel {channel_id} does not go on from {here}")
        here = channel.other(here)
        if channel.security.label != label:
            wrong.append(f"channel {channel_id} is of class {channel.security.label}, not {label}")
        offered = int(channel.security)
        if offered < level or (asked.is_exact and offered != level):
            wrong.append(f"channel {channel_id} ({channel.security.label}) is not of the class asked for")
    if here != asked.dst:
        wrong.append(f"the path ends at {here}, not at {asked.dst}")
    if not asked.hosts_seal:
        lowest = min(map(SecurityClass.parse, reroute.classes), default=SecurityClass.NONE)
        key_source = card_keys_of(lowest, asked.always)
    if reroute.key_source not in (key_source, UNCONFIRMED_KEYS):
        wrong.append(f"the keys come from {reroute.key_source}, not from {key_source}")
    return (*wrong, *_check_relay(topology, asked, reroute.new_key_links))


def _check_relay(topology: Topology, asked: Asked, links: tuple[str, ...]) -> tuple[str, ...]:
    """Keys that are relayed at all come from one end to the other."""
    if links and links == (topology.vendor_link(asked.src, asked.dst),):
        return ()
    by_id = {link.id: link for link in topology.qkd_links}
    here = asked.src
    for link_id in links:
        link = by_id.get(link_id)
        if link is None or here not in (link.a, link.b):
            return (f"the key relay does not go on from {here} over {link_id}",)
        here = link.b if here == link.a else link.a
    return (f"the key relay ends at {here}, not at {asked.dst}",) if links and here != asked.dst else ()
