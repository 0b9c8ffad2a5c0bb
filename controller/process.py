"""The process: configuration in, everything wired together and served until a signal ends it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import eventlet
import eventlet.event
import eventlet.hubs
import eventlet.support.greenlets

from controller.device_model.kinds import DeviceKind
from controller.listening import listen, raise_descriptor_limit
from controller.log_lines import configure_logging
from controller.model.cards import as_sealed
from controller.model.errors import ConfigError, ControllerError
from controller.model.provisioning_trace import ProvisioningMode
from controller.monitoring.link_state import LinkMonitor
from controller.northbound import Api, Settings, Tokens
from controller.northbound.http.server import Limits, serve
from controller.northbound.http.targets import Hosts
from controller.northbound.http.token_files import read_or_make_token
from controller.operations.assembly import assemble
from controller.operations.context import OperationContext, OperationOptions
from controller.operations.event_log import EventLog
from controller.operations.extending.pce import ExternalPce
from controller.operations.extending.terms import OnFailure, Terms
from controller.operations.supervision import Supervisor
from controller.persistence.sqlite_journal import Store
from controller.schema.config import ControllerConfig, ExtensionsConfig, ProvisioningConfig, load_config
from controller.southbound.carrier import CarrierWatch
from controller.southbound.channel_ports import OpenFlowChannelPorts
from controller.southbound.device_layer import DeviceLayer, LayerTerms
from controller.southbound.kms_client import KmsClient
from controller.southbound.openflow import Switchboard
from controller.southbound.ovsdb import OvsdbClient
from controller.southbound.ryu_app import start_openflow
from controller.southbound.tunnel_client import TunnelClient
from controller.testing.checkpoints import CHECKPOINTS
from controller.testing.mutants import MUTATIONS, make_model
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.extensions.naming import Use
from scripts.extensions.protocols import Kind
from topologies.spec import Topology

log = logging.getLogger(__name__)

EXIT_WRONG_CONFIG = 2
EXIT_CANNOT_RUN = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m controller", description="QSlice controller")
    parser.add_argument("--config", type=Path, required=True, help="JSON file")
    parser.add_argument("--verbose", action="store_true", help="debug messages too")
    arguments = parser.parse_args()
    configure_logging(logging.DEBUG if arguments.verbose else logging.INFO)
    logging.getLogger("ryu").setLevel(logging.WARNING)
    raise_descriptor_limit()
    try:
        run(load_config(arguments.config))
    except ConfigError as error:
        log.error("%s", error)
        return EXIT_WRONG_CONFIG
    except (ControllerError, OSError) as error:
        log.error("%s", error)
        return EXIT_CANNOT_RUN
    return 0


def check_test_hooks(config: ControllerConfig) -> None:
    """Raises ConfigError for a checkpoint or a mutation that there is not."""
    if config.unsafe_mutation not in (None, *MUTATIONS):
        raise ConfigError(
            f"unsafe_mutation: there is no mutation {config.unsafe_mutation!r}: one of {', '.join(MUTATIONS)}"
        )
    if config.crash_at_checkpoint not in (None, *CHECKPOINTS):
        raise ConfigError(f"crash_at_checkpoint: there is no checkpoint {config.crash_at_checkpoint!r}")


def run(config: ControllerConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    check_test_hooks(config)
    topology = as_sealed(config.parsed_topology(), config.encryption)
    events = EventLog(clock=time.time)
    switchboard = Switchboard(topology)
    links = LinkMonitor(topology, config.hold_down_s)
    channel_ports = OpenFlowChannelPorts(topology, switchboard, links)
    store = Store(config.database)
    context = OperationContext(
        make_model(
            topology,
            config.unsafe_mutation,
            frozenset(config.forbidden_suites),
            frozenset(filter(None, [config.extensions.suite])),
            config.encryption,
            config.policy.parsed(),
            config.latency.parsed(),
        ),
        switchboard,
        TunnelClient(config.tunnel_sockets),
        KmsClient(config.kms_socket),
        store,
        events,
        channel_ports,
        options=OperationOptions(spare_hold_s=config.spare_hold_s, checkpoint=killer_at(config.crash_at_checkpoint)),
        supervisor=Supervisor(ending=(eventlet.support.greenlets.GreenletExit,)),
    )
    context.devices = device_layer(config.provisioning, topology)
    workers = put_in_force(config.extensions, context)
    operations = assemble(context)
    slices, maintenance = operations.slices, operations.maintenance
    switchboard.confirmed = maintenance.switch_confirmed
    maintenance.load()
    for channel in maintenance.lit_spares():
        links.set_lit(channel)
    tokens = Tokens(read_or_make_token(config.token_file), read_or_make_token(config.viewer_token))
    settings = Settings(require_token_for_reads=config.api.require_token_for_reads)
    api = Api(slices, links, events, tokens, settings)
    # Sockets are bound before anything starts, so that a port already taken ends the process at once.
    listener = listen(config.api.host, config.api.port)
    watches = None if config.ovsdb_socket is None else OvsdbClient(config.ovsdb_socket)
    carrier = CarrierWatch() if config.watch_carrier else None
    start_openflow(config.openflow, maintenance, switchboard, links, channel_ports, watches, carrier)
    eventlet.spawn(context.supervisor.until_done, "recovery", maintenance.recover)
    limits = Limits(config.api.idle_s, config.api.header_s, config.api.body_s, config.api.write_s)
    serving = ApiServer(listener, api, limits, Hosts((config.api.host, *config.api.hosts)))
    eventlet.spawn(context.supervisor.keep, "API", serving.serve)
    log.info("API on http://%s:%d", *listener.getsockname()[:2])
    wait_for_signal()
    for worker in workers:
        worker.close()
    store.close()
    log.info("ended; switches go on forwarding by the rules they have")


def device_layer(config: ProvisioningConfig, topology: Topology) -> DeviceLayer | None:
    """The way to devices, one at a time; None: by OpenFlow. Raises ConfigError."""
    if config.mode is ProvisioningMode.PARALLEL:
        return None
    assert config.layer_host is not None and config.layer_token is not None  # noqa: PT018 - ProvisioningConfig has seen
    takes_s = {DeviceKind.ETHERNET: config.ethernet_s, DeviceKind.OPTICAL: config.optical_s}
    token = read_or_make_token(config.layer_token)
    return DeviceLayer(topology, LayerTerms(config.layer_host, config.layer_port, token, config.deadline_s, takes_s))


def put_in_force(config: ExtensionsConfig, context: OperationContext) -> list[Worker]:
    """Start the extensions that are named, each in a process of its own. Raises ConfigError."""
    workers = []
    for kind, chosen in ((Kind.PCE, config.pce), (Kind.HEALING, config.healing)):
        if chosen is None:
            continue
        worker = Worker(Use(kind, chosen.target, chosen.folder), chosen.deadline_s)
        try:
            identity = worker.start()
        except ExtensionError as error:
            raise ConfigError(f"extensions.{kind.value}: {error}") from error
        log.warning("%s is in force: code of %s, SHA-256 %s, with the rights of this process",
                    identity, identity.source, identity.sha256)  # fmt: skip
        if config.unsafe_no_audit:
            log.critical("EXTENSIONS ARE NOT AUDITED (unsafe_no_audit): for tests of the auditor alone")
        terms = Terms(worker, context.events, OnFailure(chosen.on_failure), not config.unsafe_no_audit)
        if kind is Kind.PCE:
            context.pce = ExternalPce(terms)
        else:
            context.healing = terms
        workers.append(worker)
    return workers


class ApiServer:
    """Serves on the listener it is given; each time anew on another at the same address, the last being closed then."""

    def __init__(self, listener: Any, api: Api, limits: Limits, hosts: Hosts) -> None:
        self._listener = listener
        self._address = listener.getsockname()[:2]
        self._api, self._limits, self._hosts = api, limits, hosts

    def serve(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            listener = listen(*self._address)
        try:
            serve(listener, self._api, self._limits, self._hosts)
        finally:
            listener.close()


def killer_at(fatal: str | None) -> Callable[[str], None]:
    """Dies at one checkpoint, None for none, as a power cut would have it: no handler runs, nothing is flushed."""

    def checkpoint(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def wait_for_signal() -> None:
    """Until SIGTERM or SIGINT."""
    ended = eventlet.event.Event()

    def end(number: int, frame: FrameType | None) -> None:
        # A handler runs inside whatever greenlet the signal met: hand over to the hub instead of switching there.
        if not ended.ready():
            eventlet.hubs.get_hub().schedule_call_global(0, ended.send, number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    ended.wait()
