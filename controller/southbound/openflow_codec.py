"""Codec between intended items and OpenFlow 1.3 messages (OpenFlow 1.3.5, clause 7), with Nicira's register move."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as parser13

from controller.forwarding.intended import Changes
from controller.forwarding.items import (
    Action,
    Bucket,
    Group,
    GroupType,
    Match,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.monitoring.link_state import PortReport

ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF
ENCODINGS_KEPT = 1 << 14
_MATCH_HEADER = struct.Struct("!HH")  # type, length without padding
_ACTIONS_HEADER = struct.Struct("!HH4x")  # type, length


def messages_for(datapath: Any, changes: Changes) -> list[tuple[Any, int | None]]:
    """The messages of one switch, each with the cookie it is about: deletes first, rules after what they point to.

    Groups go last: with a group, a switch deletes the rules that point to it (OpenFlow 1.3.5, 6.4), also those that
    a later message of the same batch would have turned elsewhere.
    """
    rules_gone = [i for i in changes.remove if isinstance(i, Rule)]
    meters_gone = [i for i in changes.remove if isinstance(i, Meter)]
    meters_new = [i for i in changes.add if isinstance(i, Meter)]
    groups_new = [i for i in changes.add if isinstance(i, Group)]
    rules_new = [i for i in changes.add if isinstance(i, Rule)]
    return [
        *((_delete(datapath, rule), rule.cookie) for rule in rules_gone),
        *((_meter(datapath, of13.OFPMC_DELETE, meter), None) for meter in meters_gone),
        *((_meter(datapath, of13.OFPMC_MODIFY, i), None) for i in changes.replace if isinstance(i, Meter)),
        *((_group(datapath, of13.OFPGC_MODIFY, i), None) for i in changes.replace if isinstance(i, Group)),
        *((_meter(datapath, of13.OFPMC_ADD, i), None) for i in meters_new),
        *((_group(datapath, of13.OFPGC_ADD, i), None) for i in groups_new),
        *((_add(datapath, rule), rule.cookie) for rule in rules_new),
        *((_group(datapath, of13.OFPGC_DELETE, i), None) for i in changes.remove if isinstance(i, Group)),
    ]


def _add(datapath: Any, rule: Rule) -> Any:
    # OFPFC_ADD over an entry of equal match and priority replaces it in one step, cookie included
    # (OpenFlow 1.3.5, 6.4); OFPFC_MODIFY would keep the old cookie.
    instructions = []
    if rule.meter is not None:
        instructions.append(parser13.OFPInstructionMeter(rule.meter, of13.OFPIT_METER))
    if rule.actions:
        instructions.append(_Actions(rule.actions))
    return parser13.OFPFlowMod(
        datapath, cookie=rule.cookie, command=of13.OFPFC_ADD, priority=rule.priority,
        match=_EncodedMatch(rule.match), instructions=instructions,
    )  # fmt: skip


def _delete(datapath: Any, rule: Rule) -> Any:
    return parser13.OFPFlowMod(
        datapath, cookie=rule.cookie, cookie_mask=ALL_BITS, command=of13.OFPFC_DELETE_STRICT, priority=rule.priority,
        out_port=of13.OFPP_ANY, out_group=of13.OFPG_ANY, match=_EncodedMatch(rule.match),
    )  # fmt: skip


class _EncodedMatch(parser13.OFPMatch):
    """A match to be sent, never to be read. Ryu's own converts every field to and fro three times."""

    def __init__(self, match: Match) -> None:
        # Ascending types meet the prerequisites (eth_type before ipv4_src), as in Ryu.
        self._octets = b"".join(octets for _, octets in sorted(_field_octets(*field) for field in match))

    def serialize(self, buf: bytearray, offset: int) -> int:
        length = _MATCH_HEADER.size + len(self._octets)
        self.length = length
        padded = _padded(_MATCH_HEADER.pack(of13.OFPMT_OXM, length) + self._octets)
        buf[offset:] = padded  # the messages grow at their end
        return len(padded)


class _Actions(parser13.OFPInstruction):
    """Actions to be applied at once."""

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self._octets = b"".join(map(_action_octets, actions))
        self.len = _ACTIONS_HEADER.size + len(self._octets)

    def serialize(self, buf: bytearray, offset: int) -> None:
        buf[offset:] = _ACTIONS_HEADER.pack(of13.OFPIT_APPLY_ACTIONS, self.len) + self._octets


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 8)


@lru_cache(maxsize=ENCODINGS_KEPT)
def _field_octets(name: str, value: int | str) -> tuple[int, bytes]:
    """A match field's type, to sort by, and its OXM (OpenFlow 1.3.5, 7.2.3.2), encoded by Ryu. Few fields differ."""
    number, octets, mask = of13.oxm_from_user(name, value)
    buffer = bytearray()
    of13.oxm_serialize(number, octets, mask, buffer, 0)
    return number, bytes(buffer)


@lru_cache(maxsize=ENCODINGS_KEPT)
def _action_octets(action: Action) -> bytes:
    buffer = bytearray()
    _action(action).serialize(buffer, 0)
    return bytes(buffer)


def _meter(datapath: Any, command: int, meter: Meter) -> Any:
    bands = [parser13.OFPMeterBandDrop(rate=meter.rate_kbps, burst_size=meter.burst_kbits)]
    flags = of13.OFPMF_KBPS | of13.OFPMF_BURST
    return parser13.OFPMeterMod(datapath, command=command, flags=flags, meter_id=meter.id, bands=bands)


GROUP_TYPES = {GroupType.ALL: of13.OFPGT_ALL, GroupType.FAST_FAILOVER: of13.OFPGT_FF}


def _group(datapath: Any, command: int, group: Group) -> Any:
    buckets = [
        parser13.OFPBucket(
            watch_port=of13.OFPP_ANY if bucket.watch_port is None else bucket.watch_port,
            watch_group=of13.OFPG_ANY, actions=[_action(a) for a in bucket.actions],
        )
        for bucket in (group.buckets if command != of13.OFPGC_DELETE else ())
    ]  # fmt: skip
    return parser13.OFPGroupMod(datapath, command, GROUP_TYPES[group.type], group.id, buckets)


def _action(action: Action) -> Any:
    match action:
        case ToGroup(group):
            return parser13.OFPActionGroup(group)
        case Output(port):
            return parser13.OFPActionOutput(port, of13.OFPCML_NO_BUFFER if port == of13.OFPP_CONTROLLER else 0)
        case PushVlan(ethertype):
            return parser13.OFPActionPushVlan(ethertype)
        case PopVlan():
            return parser13.OFPActionPopVlan()
        case SetField(field, value):
            return parser13.OFPActionSetField(**{field: value})
        case Move(source, target, bits):
            return parser13.NXActionRegMove(src_field=source, dst_field=target, n_bits=bits)


def rule_from_stats(site: str, stats: Any) -> Rule:
    """An entry as the switch tells it. One we could never have made still has a key, so that it can be deleted."""
    actions: list[Action] = []
    meter = None
    for instruction in stats.instructions:
        if isinstance(instruction, parser13.OFPInstructionMeter):
            meter = instruction.meter_id
        else:
            actions.extend(_action_from_wire(a) for a in getattr(instruction, "actions", ()))
    match = tuple(sorted(stats.match.items()))
    return Rule(site, stats.priority, match, tuple(actions), stats.cookie, meter)


def _action_from_wire(action: Any) -> Action:
    if isinstance(action, parser13.OFPActionOutput):
        return Output(action.port)
    if isinstance(action, parser13.OFPActionGroup):
        return ToGroup(action.group_id)
    if isinstance(action, parser13.OFPActionPushVlan):
        return PushVlan(action.ethertype)
    if isinstance(action, parser13.OFPActionPopVlan):
        return PopVlan()
    if isinstance(action, parser13.OFPActionSetField):
        return SetField(action.key, action.value)
    if isinstance(action, parser13.NXActionRegMove):
        return Move(_plain(action.src_field), _plain(action.dst_field), action.n_bits)
    return SetField("unknown", repr(action))


def _plain(field: str) -> str:
    """Ryu names a field of a move by its Nicira twin where there is one."""
    return field.removesuffix("_nxm")


def meter_from_config(site: str, config: Any) -> Meter:
    band = config.bands[0]
    return Meter(site, config.meter_id, band.rate, band.burst_size)


def group_from_stats(site: str, stats: Any) -> Group:
    """A group as the switch tells it; one of a type that we never make counts as ALL, and differs in its buckets."""
    kind = GroupType.FAST_FAILOVER if stats.type == of13.OFPGT_FF else GroupType.ALL
    buckets = tuple(
        Bucket(
            tuple(_action_from_wire(a) for a in bucket.actions),
            None if bucket.watch_port == of13.OFPP_ANY else bucket.watch_port,
        )
        for bucket in stats.buckets
    )
    return Group(site, stats.group_id, kind, buckets)


def port_report(port: Any) -> PortReport:
    # Open vSwitch takes LIVE away when BFD finds the far end silent, and then sends a port status message.
    is_down = port.state & of13.OFPPS_LINK_DOWN or port.config & of13.OFPPC_PORT_DOWN
    is_live = not is_down and bool(port.state & of13.OFPPS_LIVE)
    name = port.name.decode() if isinstance(port.name, bytes) else port.name
    is_held_down = bool(port.config & of13.OFPPC_PORT_DOWN)
    return PortReport(port.port_no, name.rstrip("\0"), is_live, not is_down, is_held_down, port.hw_addr)
