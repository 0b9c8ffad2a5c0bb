"""Changes sent to the switches by OpenFlow 1.3, and the bookkeeping of what they confirm or refuse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import eventlet
from eventlet.event import Event as Signal
from eventlet.hubs import get_hub
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
POSTED_DEADLINE_S = 5.0  # what nobody waits for has failed when it is not confirmed by then
# Whoever sends and waits does so within less. Later than this they have died in between, and their faults are reported.
CLAIM_DEADLINE_S = 30.0


# OpenFlow 1.3.5, 7.4.12 and 7.4.7: what is added is there already.
ALREADY_THERE = (
    (of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS),
    (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_GROUP_EXISTS),
)


# The commands that add a meter or a group, and those that modify one.
ADDING = {of13.OFPMC_ADD: of13.OFPMC_MODIFY, of13.OFPGC_ADD: of13.OFPGC_MODIFY}


class SwitchAway(DriverError):
    """The switch is not connected, or did not answer in time."""


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None: ...


def call_later(delay_s: float, function: Callable[..., None], *arguments: Any) -> Timer:
    """In a green thread of its own, since the hub's must never wait. Calling it off costs no switch of threads."""
    timer: Timer = get_hub().schedule_call_global(delay_s, eventlet.spawn, function, *arguments)
    return timer


class Transaction:
    """What was sent to one switch up to one barrier.

    Its faults belong to the sender until :attr:`is_posted`; from then on to nobody but the switchboard, which reports
    them. It is open until it is settled, once: confirmed, failed as a whole, or too late.
    """

    def __init__(self, site: str, *, is_posted: bool, departures: tuple[int, ...] = ()) -> None:
        self.site = site
        self.is_posted = is_posted
        self.departures = departures  # what is confirmed when all of it has been done
        self.sent: dict[int, tuple[Any, int | None]] = {}  # xid -> message, cookie of the rule that it carries
        self.adding: dict[int, Any] = {}  # xid -> message that adds a meter or a group
        self.barriers: set[int] = set()  # that have not been answered
        self.faults: list[SwitchFault] = []
        self.done = Signal()
        self.timer: Timer | None = None

    @property
    def is_settled(self) -> bool:
        return bool(self.done.ready())


class PendingTransactions:
    """Several switches' transactions, waited for together."""

    def __init__(self, transactions: list[Transaction], switches: Switchboard) -> None:
        self._transactions = transactions
        self._switches = switches

    def wait(self, deadline_s: float) -> tuple[SwitchFault, ...]:
        with eventlet.Timeout(deadline_s, False):
            for transaction in self._transactions:
                transaction.done.wait()
        return tuple(f for t in self._transactions for f in self._switches.claim(t, deadline_s))


class Switchboard:
    """The connected switches by site; implements :class:`controller.operations.drivers.Switches`.

    Every message has one owner of its outcome: who asked or who sent it, and waits; or, of what is posted and of what
    is refused after its owner has gone, ``report``. That must not wait: it is called with the lock of the life cycle
    held, and from the event loop. ``later`` calls a function after so many seconds.
    """

    def __init__(self, topology: Topology, later: Callable[..., Timer] = call_later) -> None:
        self.report: Callable[[SwitchFault], None] = lambda fault: None
        self.confirmed: Callable[[str, tuple[int, ...]], None] = lambda site, departures: None
        self._later = later
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
            if where == site:
                self._settle(transaction, "the switch went away")
        return was_there

    # --- changes -------------------------------------------------------------------------------------------------

    def send(self, changes: Mapping[str, Changes]) -> PendingTransactions:
        """Send each switch its changes and a barrier in one write."""
        return PendingTransactions([self._send(site, c, is_posted=False) for site, c in changes.items()], self)

    def repair(self, site: str, changes: Changes) -> PendingTransactions:
        """Send to a switch that is connected, whether or not it is ready."""
        return PendingTransactions([self._send(site, changes, is_posted=False, is_repair=True)], self)

    def post(self, changes: Mapping[str, Changes]) -> None:
        """As :meth:`send`, in the same order with it, but nobody waits: what goes wrong is reported."""
        for site, wanted in changes.items():
            self._send(site, wanted, is_posted=True)

    def hold_ports(self, ports: Mapping[str, Mapping[int, bool]]) -> PendingTransactions:
        """Hold ports down, or let them up again: per site, port number -> whether it is held down."""
        sent = [
            self._send_messages(site, partial(self._port_mods, site, held), is_posted=False)
            for site, held in ports.items()
        ]
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
        """Send a frame out of a port, with no other proof of it than its arrival. Raises SwitchAway."""
        datapath = self._datapath(site)
        datapath.send_msg(
            parser13.OFPPacketOut(
                datapath, of13.OFP_NO_BUFFER, of13.OFPP_CONTROLLER, [parser13.OFPActionOutput(port)], frame
            )
        )

    def _send(self, site: str, changes: Changes, *, is_posted: bool, is_repair: bool = False) -> Transaction:
        transaction = Transaction(site, is_posted=is_posted, departures=changes.departures)
        is_waiting = self.is_connected(site) and not (is_repair or self.is_ready(site))
        return self._transmit(
            transaction,
            lambda datapath: messages_for(datapath, changes),
            # What is to be changed is in what the switch is compared with: it comes with the repair.
            refusal="being compared with what it shall hold" if is_waiting else None,
        )

    def _send_messages(
        self, site: str, make: Callable[[Any], list[tuple[Any, int | None]]], *, is_posted: bool
    ) -> Transaction:
        return self._transmit(Transaction(site, is_posted=is_posted), make)

    def _transmit(
        self,
        transaction: Transaction,
        make: Callable[[Any], list[tuple[Any, int | None]]],
        refusal: str | None = None,
    ) -> Transaction:
        datapath, is_posted = self._datapaths.get(transaction.site), transaction.is_posted
        # By the clock as well, and not by who waits alone: neither an answer nor a waiter is sure to come.
        deadline_s = POSTED_DEADLINE_S if is_posted else CLAIM_DEADLINE_S
        transaction.timer = self._later(deadline_s, self._expire, transaction, deadline_s)
        if datapath is None or refusal is not None:
            self._settle(transaction, refusal or "not connected")
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
        transaction.sent[message.xid] = message, cookie
        self._by_xid[transaction.site, message.xid] = transaction
        return bytes(message.buf)

    def _close_with_barrier(self, transaction: Transaction, datapath: Any, buffer: bytearray) -> None:
        barrier = parser13.OFPBarrierRequest(datapath)
        buffer += self._enter(transaction, datapath, barrier, None)
        transaction.barriers.add(barrier.xid)
        if not datapath.send(bytes(buffer)):
            self._settle(transaction, "the switch went away")

    def barrier_reply(self, site: str, xid: int) -> None:
        """A late one, after its transaction was settled, is ignored."""
        transaction = self._by_xid.get((site, xid))
        if transaction is not None:
            transaction.barriers.discard(xid)
            if not transaction.barriers:
                self._settle(transaction)

    def error(self, site: str, xid: int, type_: int, code: int) -> None:
        """An error message: its transaction fails, except where what was to be added is there: it is then modified.

        A switch that has just come back may have a meter or a group already, from a repair or a reroute beside this
        one. (Rules overwrite one another by themselves.)
        """
        transaction, question = self._by_xid.get((site, xid)), self._answers.get((site, xid))
        message = f"OpenFlow error type {type_} code {code}"
        if question is not None:
            if not question[1].ready():
                question[1].send_exception(DriverError(f"switch {site}: {message} for a question"))
            return
        if transaction is None:
            self._report(SwitchFault(site, None, f"{message} for something long past"))
            return
        added, datapath = transaction.adding.pop(xid, None), self._datapaths.get(site)
        if (type_, code) in ALREADY_THERE and added is not None and datapath is not None:
            added.command, added.xid = ADDING[added.command], None
            # The barrier that is on its way says nothing about this.
            self._close_with_barrier(transaction, datapath, bytearray(self._enter(transaction, datapath, added, None)))
            return
        refused, cookie = transaction.sent[xid]
        transaction.faults.append(SwitchFault(site, cookie, f"{message} for {_what(refused)}"))

    def _settle(self, transaction: Transaction, why: str | None = None) -> None:
        """The end of a transaction, and the only way out of the table; ``why`` says what has failed all of it."""
        if transaction.is_settled:
            return
        if why is not None:
            transaction.faults.append(SwitchFault(transaction.site, None, why))
        for xid in transaction.sent:
            self._by_xid.pop((transaction.site, xid), None)
        if transaction.departures and not transaction.faults:
            self.confirmed(transaction.site, transaction.departures)
        transaction.done.send(None)
        if transaction.is_posted:
            _cancel(transaction)
            self._report(*transaction.faults)

    def claim(self, transaction: Transaction, waited_s: float) -> list[SwitchFault]:
        """For whoever has waited so long: what went wrong. What is not settled by now has failed."""
        self._settle(transaction, f"no answer to a barrier within {waited_s:g} s")
        _cancel(transaction)
        return transaction.faults

    def _expire(self, transaction: Transaction, deadline_s: float) -> None:
        """Nobody has come for the outcome, and nobody will: it is as if it had been posted."""
        is_to_be_reported = transaction.is_settled
        transaction.is_posted = True
        self._settle(transaction, f"no answer to a barrier within {deadline_s:g} s")
        if is_to_be_reported:
            self._report(*transaction.faults)

    def _report(self, *faults: SwitchFault) -> None:
        for fault in faults:
            log.warning("switch %s: %s; nobody waited for it", fault.site, fault.message)
            self.report(fault)

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


def _cancel(transaction: Transaction) -> None:
    if transaction.timer is not None:
        transaction.timer.cancel()


def _what(message: Any) -> str:
    """The item that a message is about, for people."""
    match message:
        case parser13.OFPFlowMod():
            return f"a rule with cookie {message.cookie:#x}"
        case parser13.OFPMeterMod():
            return f"meter {message.meter_id}"
        case parser13.OFPGroupMod():
            return f"group {message.group_id}"
        case parser13.OFPPortMod():
            return f"port {message.port_no}"
    return "a barrier"
