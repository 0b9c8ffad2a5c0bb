"""Between intended items and OpenFlow 1.3 messages, and the bookkeeping of what switches confirm or refuse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import eventlet
from eventlet.event import Event as Signal
from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as parser13

from controller.forwarding.intended import Changes
from controller.forwarding.items import (
    Item,
)
from controller.model.errors import DriverError
from controller.monitoring.link_state import PortReport
from controller.operations.drivers import SwitchFault
from controller.southbound.openflow_codec import (
    group_from_stats,
    messages_for,
    meter_from_config,
    port_report,
    rule_from_stats,
)
from topologies.spec import Topology

log = logging.getLogger(__name__)

STATS_DEADLINE_S = 5.0


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
    """The connected switches by site; implements :class:`controller.operations.drivers.Switches`."""

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
