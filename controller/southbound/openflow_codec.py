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
_METER = struct.Struct("!HHI")  # type, length, number
_GROUP_MOD = struct.Struct("!BBHIHBxI")  # header as below, command, type, number (7.3.4.2)
_BUCKET = struct.Struct("!HHII4x")  # length, weight, port and group that are watched
# Header: version, type, length, transaction. Then cookie, its mask, table, command, idle and hard time-out, priority,
# buffer, output port and group to filter by, flags (7.3.4.1).
_FLOW_MOD = struct.Struct("!BBHI QQBBHHHIIIH2x")


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
        *((_GroupMod(datapath, of13.OFPGC_MODIFY, i), None) for i in changes.replace if isinstance(i, Group)),
        *((_meter(datapath, of13.OFPMC_ADD, i), None) for i in meters_new),
        *((_GroupMod(datapath, of13.OFPGC_ADD, i), None) for i in groups_new),
        *((_add(datapath, rule), rule.cookie) for rule in rules_new),
        *((_GroupMod(datapath, of13.OFPGC_DELETE, i), None) for i in changes.remove if isinstance(i, Group)),
    ]


def _add(datapath: Any, rule: Rule) -> Any:
    # OFPFC_ADD over an entry of equal match and priority replaces it in one step, cookie included
    # (OpenFlow 1.3.5, 6.4); OFPFC_MODIFY would keep the old cookie.
    return _FlowMod(datapath, of13.OFPFC_ADD, rule)


def _delete(datapath: Any, rule: Rule) -> Any:
    return _FlowMod(datapath, of13.OFPFC_DELETE_STRICT, rule)


class _FlowMod(parser13.OFPFlowMod):
    """A rule to be sent, never to be read. Ryu's own converts every field of a match to and fro three times."""

    def __init__(self, datapath: Any, command: int, rule: Rule) -> None:
        parser13.MsgBase.__init__(self, datapath)
        self.cookie = rule.cookie
        self._command, self._rule = command, rule

    def serialize(self) -> None:
        is_delete = self._command == of13.OFPFC_DELETE_STRICT
        body = _match_octets(self._rule.match) + (b"" if is_delete else _instruction_octets(self._rule))
        self.buf = bytearray(
            _FLOW_MOD.pack(
                of13.OFP_VERSION, of13.OFPT_FLOW_MOD, _FLOW_MOD.size + len(body), self.xid,
                self.cookie, ALL_BITS if is_delete else 0, 0, self._command, 0, 0, self._rule.priority,
                of13.OFP_NO_BUFFER, of13.OFPP_ANY if is_delete else 0, of13.OFPG_ANY if is_delete else 0, 0,
            )
        )  # fmt: skip
        self.buf += body


def _match_octets(match: Match) -> bytes:
    # Ascending types meet the prerequisites (eth_type before ipv4_src), as in Ryu.
    octets = b"".join([octets for _, octets in sorted([_field_octets(*field) for field in match])])
    return _padded(_MATCH_HEADER.pack(of13.OFPMT_OXM, _MATCH_HEADER.size + len(octets)) + octets)


def _instruction_octets(rule: Rule) -> bytes:
    """The meter that a rule's packets pass, and its actions, applied at once."""
    meter = b"" if rule.meter is None else _METER.pack(of13.OFPIT_METER, _METER.size, rule.meter)
    actions = b"".join([_action_octets(action) for action in rule.actions])
    if not actions:
        return meter
    return meter + _ACTIONS_HEADER.pack(of13.OFPIT_APPLY_ACTIONS, _ACTIONS_HEADER.size + len(actions)) + actions


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


class _GroupMod(parser13.OFPGroupMod):
    """A group to be sent, never to be read; ``command`` may be changed before it is sent again."""

    def __init__(self, datapath: Any, command: int, group: Group) -> None:
        parser13.MsgBase.__init__(self, datapath)
        self.command, self.group_id, self._group = command, group.id, group

    def serialize(self) -> None:
        is_delete = self.command == of13.OFPGC_DELETE
        buckets = b"" if is_delete else b"".join([_bucket_octets(bucket) for bucket in self._group.buckets])
        self.buf = bytearray(
            _GROUP_MOD.pack(
                of13.OFP_VERSION, of13.OFPT_GROUP_MOD, _GROUP_MOD.size + len(buckets), self.xid,
                self.command, GROUP_TYPES[self._group.type], self.group_id,
            )
        )  # fmt: skip
        self.buf += buckets


def _bucket_octets(bucket: Bucket) -> bytes:
    actions = b"".join([_action_octets(action) for action in bucket.actions])
    watched = of13.OFPP_ANY if bucket.watch_port is None else bucket.watch_port
    return _BUCKET.pack(_BUCKET.size + len(actions), 0, watched, of13.OFPG_ANY) + actions


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
