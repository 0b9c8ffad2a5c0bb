"""The Ryu application: events of switches in, decisions out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet
from ryu import cfg
from ryu.base.app_manager import AppManager, RyuApp
from ryu.controller import ofp_event
from ryu.controller.controller import datapath_connection_factory
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls, set_ev_handler
from ryu.controller.ofp_handler import OFPHandler
from ryu.ofproto import ofproto_v1_3

from controller.model.errors import ControllerError, DriverError
from controller.monitoring.bfd_intervals import WatchPlan, wanted_paces
from controller.monitoring.link_state import LinkMonitor
from controller.operations.drivers import Watches
from controller.operations.maintenance import Maintenance
from controller.operations.supervision import Supervisor
from controller.operations.switch_sync import SwitchSync
from controller.schema.config import OpenFlowConfig
from controller.southbound.carrier import CarrierWatch
from controller.southbound.channel_ports import OpenFlowChannelPorts
from controller.southbound.openflow import Switchboard
from controller.southbound.openflow_codec import port_report
from controller.southbound.switch_listener import SwitchListener

log = logging.getLogger(__name__)

TICK_S = 0.25
KEY_POLL_S = 0.5  # a section that stops is known this soon after the KMS knows
# A link can go down without a word (mininet#1139): the ports are asked after as well.
PORT_POLL_S = 2.0
TUNNEL_POLL_S = 5.0
WATCH_S = 0.25
HEALING_S = 0.5
CONFIRM_S = 0.25  # and at once when an agent has told something
CLOCK_S = 0.5  # starts, ends and expiries come this late at most


class SliceController(RyuApp):
    """Joins switches, links and the operations. Handlers only note and spawn: the event loop must never wait."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]  # noqa: RUF012 - Ryu reads it as a plain class attribute

    def __init__(
        self,
        *args: Any,
        maintenance: Maintenance,
        switchboard: Switchboard,
        links: LinkMonitor,
        channel_ports: OpenFlowChannelPorts,
        watches: Watches | None,
        carrier: CarrierWatch | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._maintenance = maintenance
        self._switchboard = switchboard
        self._links = links
        self._channel_ports = channel_ports
        self._watches = watches
        self._carrier = carrier
        self._watch_plan = WatchPlan()
        self._switch_sync = SwitchSync(switchboard, maintenance, self._check_ports, self._later)
        switchboard.report = lambda fault: self._switch_sync.doubt(fault.site)
        self._is_starving = False
        self._news: dict[str, bool] | None = None  # channels that went up or down, to be dealt with in a moment

    def start(self) -> Any:
        """Start the event loop and the periodic work."""
        self._every("links", TICK_S, self._tick)
        self._every("ports of switches", PORT_POLL_S, self._poll_ports)
        self._keep("comparison of switches", self._patrol)
        self._every("comparison of tunnels", TUNNEL_POLL_S, self._maintenance.restore_tunnels)
        if self._watches is not None:
            self._every("pace of BFD", WATCH_S, partial(self._watch, self._watches))
        if self._carrier is not None:
            self._keep("carrier", partial(self._heed_carrier, self._carrier))
        self._every("keys", KEY_POLL_S, self._maintenance.poll_keys)
        self._every("schedule", CLOCK_S, self._maintenance.run_schedule)
        self._every("healing", HEALING_S, self._maintenance.run_due)
        self._every("confirmation", CONFIRM_S, self._confirm)
        for site in self._maintenance.model.topology.site_names:
            self._keep(f"tunnel agent at {site}", partial(self._poll_agent, site))
        return super().start()

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _on_state(self, event: Any) -> None:
        datapath = event.datapath
        site = None if datapath.id is None else self._switchboard.site_of(datapath.id)
        if site is None:
            if datapath.id is not None and event.state == MAIN_DISPATCHER:
                log.warning("switch %016x is not of this topology: left alone", datapath.id)
            return
        if event.state == MAIN_DISPATCHER:
            log.info("switch %s connected", site)
            self._switchboard.connect(site, datapath)
            self._later(0, self._on_connected, site)
        elif self._switchboard.disconnect(site, datapath):
            log.warning("switch %s disconnected; it goes on forwarding by the rules it has", site)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def _on_port_status(self, event: Any) -> None:
        site = self._switchboard.site_of(event.msg.datapath.id)
        if site is None:
            return
        report = port_report(event.msg.desc)
        is_live = report.is_live and event.msg.reason != ofproto_v1_3.OFPPR_DELETE
        has_carrier = report.has_carrier and event.msg.reason != ofproto_v1_3.OFPPR_DELETE
        silent = self._links.silent
        changed = self._links.report(site, report.number, is_live, time.monotonic(), has_carrier=has_carrier)
        self._note(changed, silent)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def _on_barrier(self, event: Any) -> None:
        self._tell(event.msg, lambda site: self._switchboard.barrier_reply(site, event.msg.xid))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def _on_error(self, event: Any) -> None:
        msg = event.msg
        self._tell(msg, lambda site: self._switchboard.error(site, msg.xid, msg.type, msg.code))

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, MAIN_DISPATCHER)
    def _on_flow_stats(self, event: Any) -> None:
        self._tell(event.msg, lambda site: self._switchboard.answer(site, event.msg))

    @set_ev_cls(ofp_event.EventOFPMeterConfigStatsReply, MAIN_DISPATCHER)
    def _on_meter_config(self, event: Any) -> None:
        self._tell(event.msg, lambda site: self._switchboard.answer(site, event.msg))

    @set_ev_cls(ofp_event.EventOFPGroupDescStatsReply, MAIN_DISPATCHER)
    def _on_group_desc(self, event: Any) -> None:
        self._tell(event.msg, lambda site: self._switchboard.answer(site, event.msg))

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply, MAIN_DISPATCHER)
    def _on_port_desc(self, event: Any) -> None:
        self._tell(event.msg, lambda site: self._switchboard.answer(site, event.msg))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _on_packet(self, event: Any) -> None:
        # Only the rules of a trial send packets here.
        self._tell(event.msg, lambda site: self._channel_ports.heard(site, event.msg.match["in_port"]))

    def _tell(self, message: Any, hand_over: Callable[[str], None]) -> None:
        site = None if message.datapath.id is None else self._switchboard.site_of(message.datapath.id)
        if site is not None:
            hand_over(site)

    # --- periodic and per-switch work ----------------------------------------------------------------------------

    def _keep(self, task: str, work: Callable[[], None]) -> None:
        eventlet.spawn(self._maintenance.supervisor.keep, task, work)

    def _every(self, task: str, period_s: float, work: Callable[[], None]) -> None:
        """Whatever one run ends with, the next comes; no two at once."""

        def repeat() -> None:
            while True:
                self._attempt(work)
                eventlet.sleep(period_s)

        self._keep(task, repeat)

    def _later(self, delay_s: float, look: Callable[[str], None], site: str) -> None:
        until_done = self._maintenance.supervisor.until_done
        eventlet.spawn_after(delay_s, until_done, f"switch {site}", partial(look, site))

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ControllerError:
            log.exception("periodic work failed; it will be tried again")

    def _tick(self) -> None:
        silent = self._links.silent
        changed = self._links.due(time.monotonic())
        if self._links.is_starving is not self._is_starving:
            self._is_starving = self._links.is_starving
            if self._is_starving:
                log.warning("channels fall silent everywhere at once: no failure is like that; BFD is not believed")
            else:
                log.info("no channel has fallen silent for a while: BFD is believed again")
        self._note(changed, silent)

    def _heed_carrier(self, carrier: CarrierWatch) -> None:
        while True:
            states = carrier.news()
            silent = self._links.silent
            self._note(self._links.carrier(states, time.monotonic()), silent)

    def _note(self, changed: dict[str, bool], silent: frozenset[str]) -> None:
        """Have what has just changed dealt with. What one failure does to many channels is dealt with as one."""
        if not changed and self._links.silent == silent:
            return
        if self._news is None:
            self._news = {}
            eventlet.spawn(self._deal_with_news, self._news)
        self._news |= changed

    def _deal_with_news(self, news: dict[str, bool]) -> None:
        self._news = None
        self._deal_with(news)

    def _deal_with(self, changed: dict[str, bool]) -> None:
        """News must not be lost, whatever goes wrong over them."""
        maintenance = self._maintenance
        maintenance.supervisor.until_done(
            "channel changes", lambda: maintenance.channels_changed(changed, self._links.silent), maintenance.look_again
        )

    def _confirm(self) -> None:
        self._maintenance.confirm(self._is_right)

    def _poll_agent(self, site: str) -> None:
        while True:
            pause_s = self._maintenance.poll_agent(site)
            eventlet.spawn(self._attempt, self._confirm)
            eventlet.sleep(pause_s)

    def _patrol(self) -> None:
        sites = self._maintenance.model.topology.site_names
        while True:
            eventlet.sleep(self._switch_sync.patrol(sites, time.monotonic))

    def _is_right(self, site: str) -> bool:
        """Whether a switch holds what it shall; if not, it has been repaired."""
        return self._maintenance.reconcile(site, lambda: self._switchboard.installed(site))

    def _watch(self, watches: Watches) -> None:
        """Let each channel be watched as closely as what it carries needs."""
        with self._maintenance.lock:
            connections = tuple(self._maintenance.model.connections.values())
        wanted = wanted_paces(self._maintenance.model.topology, connections, self._links.slowdown)
        changes = self._watch_plan.changes(wanted, time.monotonic(), is_starving=self._links.is_starving)
        watches.set_paces(changes)
        self._watch_plan.told(changes)

    def _poll_ports(self) -> None:
        """Ask all at once: software switches look through all of their ports for each question that comes alone."""
        sites = [s for s in self._maintenance.model.topology.site_names if self._switchboard.is_connected(s)]
        for _ in eventlet.GreenPool(len(sites) or 1).imap(self._poll_ports_of, sites):
            pass

    def _poll_ports_of(self, site: str) -> None:
        try:
            self._check_ports(site)
        except DriverError as error:
            log.warning("%s", error)

    def _on_connected(self, site: str) -> None:
        """A switch is here, for the first time or again."""
        self._watch_plan.forget(p.interface for p in self._maintenance.model.topology.ports(site))
        self._switch_sync.synchronise(site)

    def _check_ports(self, site: str) -> None:
        asked_at = time.monotonic()
        reports = self._switchboard.ports(site)
        known, silent = set(self._links.faults.values()), self._links.silent
        changed = self._links.inventory(site, reports, time.monotonic(), asked_at)
        for fault in set(self._links.faults.values()) - known:
            log.error("inventory: %s", fault)
        unexpectedly_up = self._links.unexpectedly_up(site, reports)
        if unexpectedly_up:
            log.info("switch %s: dark channels %s are held down", site, ", ".join(unexpectedly_up))
            self._maintenance.keep_dark(unexpectedly_up)
        if changed or self._links.silent != silent:
            self._deal_with(changed)


class SwitchHandler(OFPHandler):
    """Ryu's handler of the OpenFlow handshake, behind our own listener, which is asked whom to believe."""

    def __init__(self, *args: Any, listener: SwitchListener, supervisor: Supervisor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._supervisor = supervisor
        self._listener = listener

    def start(self) -> Any:
        """What Ryu's own does, with another listener."""
        super(OFPHandler, self).start()
        return eventlet.spawn(self._supervisor.keep, "switches' listener", self._listener.serve)

    @set_ev_handler(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_features_handler(self, ev: Any) -> None:
        """What Ryu's own does, unless the datapath is another than the certificate's."""
        datapath = ev.msg.datapath
        try:
            self._listener.admit(datapath.socket, ev.msg.datapath_id)
        except PermissionError as error:
            address, said = datapath.address, ev.msg.datapath_id
            log.error("a switch from %s:%d that says it is %016x was refused: %s", *address[:2], said, error)
            datapath.close()
            return
        super().switch_features_handler(ev)


def start_openflow(
    openflow: OpenFlowConfig,
    maintenance: Maintenance,
    switchboard: Switchboard,
    links: LinkMonitor,
    channel_ports: OpenFlowChannelPorts,
    watches: Watches | None = None,
    carrier: CarrierWatch | None = None,
) -> None:
    """What ryu-manager does, without its command line. OSError when the port is taken or a certificate missing."""
    cfg.CONF(args=[], project="ryu", default_config_files=[])
    listener = SwitchListener(openflow, datapath_connection_factory)
    manager = AppManager.get_instance()
    apps = [
        manager.instantiate(SwitchHandler, listener=listener, supervisor=maintenance.supervisor),
        manager.instantiate(
            SliceController,
            maintenance=maintenance,
            switchboard=switchboard,
            links=links,
            channel_ports=channel_ports,
            watches=watches,
            carrier=carrier,
        ),
    ]
    for app in apps:
        app.set_main_thread(app.start())
