"""Between intended items and OpenFlow 1.3 messages, and the bookkeeping of what switches confirm or refuse."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import eventlet
from eventlet.event import Event as Signal
from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as parser13

from controller.drivers import DriverError, SwitchFault
from controller.flows import (
    Action,
    Bucket,
    Group,
    GroupType,
    Item,
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
from controller.intended import Changes
from controller.links import PortReport
from topologies.spec import Topology

log = logging.getLogger(__name__)

ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF
STATS_DEADLINE_S = 5.0
ENCODINGS_KEPT = 1 << 14
_MATCH_HEADER = struct.Struct("!HH")  # type, length without padding
_ACTIONS_HEADER = struct.Struct("!HH4x")  # type, length


# OpenFlow 1.3.5, 7.4.12 and 7.4.7: what is added is there already.
ALREADY_THERE = (
    (of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS),
    (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_GROUP_EXISTS),
)


# The commands that add a meter or a group, and those that modify one.
ADDING = {of13.OFPMC_ADD: of13.OFPMC_MODIFY, of13.OFPGC_ADD: of13.OFPGC_MODIFY}


class SwitchAway(DriverError):
    """The switch is not connected, or did not answer in time."""


class Transaction:
    """What was sent to one switch up to one barrier."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.cookies: dict[int, int | None] = {}  # xid -> cookie of the rule it carries
        self.adding: dict[int, Any] = {}  # xid -> message that adds a meter or a group
        self.barriers: set[int] = set()  # that have not been answered
        self.faults: list[SwitchFault] = []
        self.done = Signal()

    def finish(self) -> None:
        if not self.done.ready():
            self.done.send(None)


class PendingTransactions:
    """Several switches' transactions, waited for together."""

    def __init__(self, transactions: list[Transaction], switches: Switchboard) -> None:
        self._transactions = transactions
        self._switches = switches

    def wait(self, deadline_s: float) -> tuple[SwitchFault, ...]:
        with eventlet.Timeout(deadline_s, False):
            for transaction in self._transactions:
                transaction.done.wait()
        for transaction in self._transactions:
            if not transaction.done.ready():
                message = f"no answer to a barrier within {deadline_s:g} s"
                transaction.faults.append(SwitchFault(transaction.site, None, message))
            self._switches.close(transaction)
        return tuple(fault for transaction in self._transactions for fault in transaction.faults)


class Switchboard:
    """The connected switches by site; implements :class:`controller.drivers.Switches`."""

    def __init__(self, topology: Topology) -> None:
        self._sites = {topology.dpid(site): site for site in topology.site_names}
        self._datapaths: dict[str, Any] = {}
        self._ready: set[str] = set()
        self._macs: dict[tuple[str, int], str] = {}  # a port is told up or down by its number and address together
        self._by_xid: dict[tuple[str, int], Transaction] = {}
        self._answers: dict[tuple[str, int], tuple[list[Any], Signal]] = {}

    def site_of(self, dpid: int) -> str | None:
        return self._sites.get(dpid)

    def is_connected(self, site: str) -> bool:
        return site in self._datapaths

    def is_ready(self, site: str) -> bool:
        return site in self._ready

    def set_ready(self, site: str) -> None:
        """The switch has been compared and repaired."""
        if site in self._datapaths:
            self._ready.add(site)

    def connect(self, site: str, datapath: Any) -> None:
        self.disconnect(site)
        self._datapaths[site] = datapath

    def disconnect(self, site: str, datapath: Any = None) -> bool:
        """Forget a switch; what it has not confirmed has failed. A later connection of the same switch stays."""
        if datapath is not None and self._datapaths.get(site) is not datapath:
            return False
        self._ready.discard(site)
        was_there = self._datapaths.pop(site, None) is not None
        for (where, _), transaction in list(self._by_xid.items()):
            if where == site and not transaction.done.ready():
                transaction.faults.append(SwitchFault(site, None, "the switch went away"))
                transaction.finish()
        return was_there

    # --- changes -------------------------------------------------------------------------------------------------

    def send(self, changes: Mapping[str, Changes]) -> PendingTransactions:
        """Send each switch its changes and a barrier in one write."""
        return PendingTransactions([self._send(site, c) for site, c in changes.items()], self)

    def hold_ports(self, ports: Mapping[str, Mapping[int, bool]]) -> PendingTransactions:
        """Hold ports down, or let them up again: per site, port number -> whether it is held down."""
        sent = [self._send_messages(site, partial(self._port_mods, site, held)) for site, held in ports.items()]
        return PendingTransactions(sent, self)

    def _port_mods(self, site: str, ports: Mapping[int, bool], datapath: Any) -> list[tuple[Any, int | None]]:
        messages = [
            parser13.OFPPortMod(
                datapath, number, self._macs.get((site, number), "00:00:00:00:00:00"),
                of13.OFPPC_PORT_DOWN if is_down else 0, of13.OFPPC_PORT_DOWN, 0,
            )
            for number, is_down in ports.items()
        ]  # fmt: skip
        return [(message, None) for message in messages]

    def emit(self, site: str, port: int, frame: bytes) -> None:
        """Send a frame out of a port. Raises SwitchAway."""
        datapath = self._datapath(site)
        datapath.send_msg(
            parser13.OFPPacketOut(
                datapath, of13.OFP_NO_BUFFER, of13.OFPP_CONTROLLER, [parser13.OFPActionOutput(port)], frame
            )
        )

    def _send(self, site: str, changes: Changes) -> Transaction:
        return self._send_messages(site, lambda datapath: messages_for(datapath, changes))

    def _send_messages(self, site: str, make: Callable[[Any], list[tuple[Any, int | None]]]) -> Transaction:
        transaction = Transaction(site)
        datapath = self._datapaths.get(site)
        if datapath is None:
            transaction.faults.append(SwitchFault(site, None, "not connected"))
            transaction.finish()
            return transaction
        buffer = bytearray()
        for message, cookie in make(datapath):
            buffer += self._enter(transaction, datapath, message, cookie)
            if isinstance(message, parser13.OFPMeterMod | parser13.OFPGroupMod) and message.command in ADDING:
                transaction.adding[message.xid] = message
        self._close_with_barrier(transaction, datapath, buffer)
        return transaction

    def _enter(self, transaction: Transaction, datapath: Any, message: Any, cookie: int | None) -> bytes:
        datapath.set_xid(message)
        message.serialize()
        transaction.cookies[message.xid] = cookie
        self._by_xid[transaction.site, message.xid] = transaction
        return bytes(message.buf)

    def _close_with_barrier(self, transaction: Transaction, datapath: Any, buffer: bytearray) -> None:
        barrier = parser13.OFPBarrierRequest(datapath)
        buffer += self._enter(transaction, datapath, barrier, None)
        transaction.barriers.add(barrier.xid)
        if not datapath.send(bytes(buffer)):
            transaction.faults.append(SwitchFault(transaction.site, None, "the switch went away"))
            transaction.finish()

    def barrier_reply(self, site: str, xid: int) -> None:
        """A late one, after its transaction was closed, is ignored."""
        transaction = self._by_xid.get((site, xid))
        if transaction is not None:
            transaction.barriers.discard(xid)
            if not transaction.barriers:
                transaction.finish()

    def error(self, site: str, xid: int, type_: int, code: int) -> None:
        """An error message: its transaction fails, except where what was to be added is there: it is then modified.

        A switch that has just come back may have a meter or a group already, from a repair or a reroute beside this
        one. (Rules overwrite one another by themselves.)
        """
        transaction = self._by_xid.get((site, xid))
        message = f"OpenFlow error type {type_} code {code}"
        if transaction is None:
            log.warning("switch %s: %s for something long past", site, message)
            return
        added, datapath = transaction.adding.pop(xid, None), self._datapaths.get(site)
        if (type_, code) in ALREADY_THERE and added is not None and datapath is not None:
            added.command, added.xid = ADDING[added.command], None
            # The barrier that is on its way says nothing about this.
            self._close_with_barrier(transaction, datapath, bytearray(self._enter(transaction, datapath, added, None)))
            return
        transaction.faults.append(SwitchFault(site, transaction.cookies[xid], message))

    def close(self, transaction: Transaction) -> None:
        for xid in transaction.cookies:
            self._by_xid.pop((transaction.site, xid), None)

    # --- questions -----------------------------------------------------------------------------------------------

    def installed(self, site: str) -> tuple[Item, ...]:
        """Every rule, meter and group that the switch holds. Raises SwitchAway."""
        datapath = self._datapath(site)
        flows = self._ask(site, parser13.OFPFlowStatsRequest(datapath))
        meters = self._ask(site, parser13.OFPMeterConfigStatsRequest(datapath))
        groups = self._ask(site, parser13.OFPGroupDescStatsRequest(datapath, 0))
        return (
            *(rule_from_stats(site, stats) for stats in flows),
            *(meter_from_config(site, config) for config in meters),
            *(group_from_stats(site, stats) for stats in groups),
        )

    def ports(self, site: str) -> dict[int, PortReport]:
        """The switch's own list of its ports. Raises SwitchAway."""
        answers = self._ask(site, parser13.OFPPortDescStatsRequest(self._datapath(site), 0))
        reports = {p.port_no: port_report(p) for p in answers}
        self._macs.update({(site, number): report.mac for number, report in reports.items()})
        return reports

    def answer(self, site: str, message: Any) -> None:
        """A part of a multipart reply."""
        found = self._answers.get((site, message.xid))
        if found is None:
            return
        collected, complete = found
        collected.extend(message.body)
        if not message.flags & of13.OFPMPF_REPLY_MORE and not complete.ready():
            complete.send(None)

    def _datapath(self, site: str) -> Any:
        datapath = self._datapaths.get(site)
        if datapath is None:
            raise SwitchAway(f"switch {site} is not connected")
        return datapath

    def _ask(self, site: str, request: Any) -> list[Any]:
        datapath = self._datapath(site)
        datapath.set_xid(request)
        key = (site, request.xid)
        collected: list[Any] = []
        complete = Signal()
        self._answers[key] = (collected, complete)
        try:
            datapath.send_msg(request)
            with eventlet.Timeout(STATS_DEADLINE_S, False):
                complete.wait()
        finally:
            del self._answers[key]
        if not complete.ready():
            raise SwitchAway(f"switch {site} gave no answer within {STATS_DEADLINE_S:g} s")
        return collected


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
