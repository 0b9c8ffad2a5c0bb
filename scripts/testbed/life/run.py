"""One run of the whole system: certificates, network, KMS, controller, tunnels; up in order, down in reverse.

Whoever holds a :class:`Runtime` holds the run: its namespaces live as long as this process, and its children die
with it. The record under /run tells every other command where things are.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from controller.southbound.switch_identity import switch_urn
from kms.errors import PkiError
from kms.pki import authority
from scripts.configuration.values import DEFAULTS, Configuration
from scripts.errors import DidNotHold, EnvironmentLacks, WrongRequest
from scripts.files.log_rotation import LogRotation
from scripts.testbed import clients
from scripts.testbed.callers_environment import callers_environment
from scripts.testbed.cleanup import forget, read_or_guess, remove_leftovers, ssl_of_others
from scripts.testbed.extensions import NO_EXTENSIONS, InForce
from scripts.testbed.impairments import SHAPER, ShaperFiles
from scripts.testbed.interrupts import deferred, ignored
from scripts.testbed.key_rates import await_first_keys
from scripts.testbed.life import devices, openvswitch
from scripts.testbed.life.agents import AgentStarter
from scripts.testbed.life.component_files import OPENFLOW_HOST, agent_file, controller_file, kms_file
from scripts.testbed.life.key_policy import require_kem
from scripts.testbed.life.name_keeper import NameKeeper
from scripts.testbed.life.shelves import await_light, card_sae, shelf_files, shelf_sites
from scripts.testbed.life.supervisor import ControlServer
from scripts.testbed.life.vendors import agents_vendors, doors
from scripts.testbed.paths import Layout, write_private
from scripts.testbed.processes import Child, end, end_all, require_free_port, spawn, start_timeout_s, wait_ready
from scripts.testbed.run_record import Process, RunRecord
from topologies import attachments
from topologies.attachments import Attached
from topologies.bfd import DEFAULT_INTERVAL_MS
from topologies.cards import CardPlan, sealing_cards
from topologies.datapath import has_netem, ovs_datapath
from topologies.errors import NetworkError
from topologies.machine import ROOT_MANAGEMENT_INTERFACE
from topologies.net import KMS_NODE, ControllerAddress, EmulatedNetwork
from topologies.ovsdb import database_socket
from topologies.spec import EncryptionMode, SecurityClass, Topology, TopologyError

START_STEPS = 7
# As Open vSwitch has from its own start script: restoration must not wait for the traffic that it restores.
CONTROLLER_NICENESS = -10
AGENTS = "tunnels"  # what agents are forked from, in the record
KME_DOORS = "kme-doors"  # what leads hosts to vendors' KMEs


@dataclass(frozen=True)
class RunOptions:
    """What a run can be told: the settings in force, and what is no setting."""

    configuration: Configuration = DEFAULTS
    bfd: bool = False
    """Find channels that lose packets in silence; on a busy machine it finds some that do not."""
    unsafe_mutation: str | None = None
    """A controller that is wrong on purpose, for tests of experiments."""
    extensions: InForce = NO_EXTENSIONS
    """Other people's code in the place of ours."""

    @property
    def encryption(self) -> EncryptionMode:
        return EncryptionMode(self.configuration["encryption.mode"])

    @property
    def api_port(self) -> int:
        return int(self.configuration["api.port"])

    @property
    def api_host(self) -> str:
        """Where the API is reached from this machine, as it stands in a URL."""
        host = str(self.configuration["api.host"])
        return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - not listened on, asked for


@dataclass(frozen=True)
class Service:
    """A process of the run: how to start it again, and how to know that it is ready: the first time, and again.

    A controller that comes back may find switches off that were there when the run began. ``module`` None: an agent.
    """

    module: str | None
    namespace: int | None
    is_ready: Callable[[], bool]
    is_back: Callable[[], bool]
    niceness: int = 0


class Runtime:
    """A run. ``start`` it, or use it as a context manager; ``stop`` leaves nothing of it."""

    def __init__(self, topology: Topology, layout: Layout, options: RunOptions) -> None:
        self.topology, self.layout, self.options = topology, layout, options
        self._stack = ExitStack()
        self._record: RunRecord | None = None
        self._network: EmulatedNetwork | None = None
        self._children: dict[str, Child] = {}
        self._services: dict[str, Service] = {}
        self._cards: tuple[CardPlan, ...] = ()
        self._agents = AgentStarter(layout.log(AGENTS))

    @property
    def record(self) -> RunRecord:
        assert self._record is not None, "the run has not been started"
        return self._record

    @property
    def network(self) -> EmulatedNetwork:
        assert self._network is not None, "the run has not been started"
        return self._network

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Bring everything up; on any failure everything is taken down again and the error goes on."""
        try:
            self._start(progress)
        except NetworkError as error:
            self.stop()
            raise EnvironmentLacks(str(error)) from error
        except BaseException:  # Ctrl-C among them
            self.stop()
            raise

    def wait(self) -> None:
        """Hold the run until a signal ends it (see :mod:`scripts.testbed.interrupts`)."""
        while True:
            signal.pause()

    def stop(self) -> None:
        """Take everything down. Safe to call twice; a second Ctrl-C does not interrupt it."""
        with ignored():
            self._stack.close()

    def restart(self, name: str) -> None:
        """Start a process of the run again with the configuration it had; one that still runs is ended first.

        Called by the control socket's thread, which the new process then lives with.
        """
        service = self._services.get(name)
        if service is None:
            raise WrongRequest(f"NAME: there is no process {name!r}; there are {', '.join(sorted(self._services))}")
        if name in self.record.processes:  # the shaper is started when it is first wanted
            end(self.record.processes[name])
            self._children[name].wait()
        self._launch(name, service, append=True)
        self._await(name, service.is_back)
        if name == "controller":
            self._call_switches()

    def change_controller(self, **members: Any) -> None:
        """Start the controller again with other members of its configuration. What slices there are it takes over."""
        path = self.layout.config("controller")
        config = json.loads(path.read_text(encoding="utf-8"))
        write_private(path, json.dumps({**config, **members}, indent=1))
        self.restart("controller")
        self._await("controller")

    def _start(self, progress: Callable[[str], None]) -> None:
        progress("checking that nothing else runs")
        require_kem(self.options.configuration)
        try:
            self.topology.require_room()
            always = map(SecurityClass.parse, self.options.configuration["policy.always"])
            self._cards = sealing_cards(self.topology, self.options.encryption, always)
        except TopologyError as error:
            raise WrongRequest(str(error)) from error
        agents_vendors(self.topology, self.layout)  # files that are no good are told before anything is started
        self.layout.make()
        self._take_lock()
        self._stack.callback(LogRotation(self.layout.logs).close)
        self._clean_up_after_last_run()
        openflow_port = int(self.options.configuration["openflow.port"])
        for what, name in (("the API", "api.port"), ("OpenFlow", "openflow.port")):
            require_free_port(what, name, self.options.configuration[name])
        progress("certificates")
        self._issue_certificates()
        datapath, netem = ovs_datapath(), has_netem()
        try:
            attached = attachments.look(self.topology.attached_interfaces)
        except attachments.InUse as error:
            raise WrongRequest(str(error)) from error
        self._begin_record(datapath, netem, attached)
        self._stack.callback(self._end_processes)  # and again before the network is taken down, below
        self._stack.callback(self._agents.close)
        with deferred():
            self._open_agents()
        ssl = self.layout.switch_certificate
        self._stack.callback(lambda: openvswitch.restore_ssl(self.record.ovs_ssl_before))
        openvswitch.set_ssl(ssl / "key.pem", ssl / "cert.pem", ssl / "ca.pem")
        progress(f"network {self.topology.name} on the {datapath} datapath")
        self._network = EmulatedNetwork(
            self.topology,
            datapath,
            netem,
            ControllerAddress(OPENFLOW_HOST, openflow_port),
            DEFAULT_INTERVAL_MS if self.options.bfd else None,
            callers_environment(),
            attached,
            self._cards,
        )
        self._stack.callback(self._network.stop)
        self._stack.callback(self._end_processes)
        # Each begins as soon as what it needs is there: they take their time for themselves, while the next is made.
        self._network.make_hosts()
        self._update(namespaces=self._network.pids)
        self._start_kms()
        self._network.join_hosts()
        self._start_tunnels()
        self._start_devices()
        self._start_shelves()
        self._start_controller()
        progress("key management: QKD sections, NTRU, Diffie-Hellman")
        self._await("kms")
        progress("tunnels")
        for site in self.topology.site_names:
            self._await(f"tunnel-{site}")
        for name in devices.names(self.topology, self.options.configuration):
            self._await(name)
        progress("controller")
        self._await("controller", self._services["controller"].is_back)
        self._call_switches()
        self._await("controller")
        progress("first keys of the QKD sections")
        await_first_keys(clients.KmsAdmin(self.layout.kms_socket))
        for site in shelf_sites(self._cards):
            self._await(f"shelf-{site}")
        api = clients.Northbound(self.record.api_url, self.layout.token)
        await_light(api, self._cards)
        shaper = ShaperFiles(self.layout)
        shaper.write({})
        self._services[SHAPER] = Service("scripts.testbed.life.shaper", None, shaper.is_ready, shaper.is_ready)
        logs = (*self.record.processes, "supervisor")
        names = NameKeeper(self.topology, self.layout, api, self.record.namespaces, logs)
        self._stack.callback(names.close)
        control = ControlServer(self.layout.supervisor_socket, self.restart, names.refresh)
        self._stack.callback(control.close)
        self._update(phase="ready")

    def _take_lock(self) -> None:
        handle = os.open(self.layout.lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise DidNotHold("a network is already up; look with `scripts/qslice status`, end it with "
                             "`scripts/qslice down`") from None  # fmt: skip
        self._stack.callback(os.close, handle)

    def _clean_up_after_last_run(self) -> None:
        left = read_or_guess(self.layout)
        if left is not None:
            remove_leftovers(left, self.layout)

    def _begin_record(self, datapath: str, netem: bool, attached: tuple[Attached, ...]) -> None:
        topology = self.topology
        ports = tuple(p.interface for site in topology.site_names for p in topology.made_ports(site))
        self._record = RunRecord(
            phase="starting", supervisor=Process.of(os.getpid()), topology=topology.to_dict(), datapath=datapath,
            netem=netem, api_url=f"http://{self.options.api_host}:{self.options.api_port}",
            bridges=tuple(topology.bridge(site) for site in topology.site_names),
            interfaces=(*ports, ROOT_MANAGEMENT_INTERFACE), ovs_ssl_before=ssl_of_others(),
            state=str(self.layout.state), configuration=self.options.configuration.to_dict(), attached=attached,
        )  # fmt: skip
        self._record.save(self.layout)
        self._stack.callback(forget, self.layout)

    def _update(self, **fields: Any) -> None:
        self._record = self.record.changed(**fields)
        self._record.save(self.layout)

    def _issue_certificates(self) -> None:
        """Certificates for the switches, the controller and each host's tunnel; the KMS makes the KMEs' own.

        Open vSwitch has one for all bridges of the machine: it names them all, and no others.
        """
        root = self.layout.pki
        here = ["127.0.0.1", "localhost"]
        bridges = [switch_urn(self.topology.dpid(site)) for site in self.topology.site_names]
        try:
            authority.ensure_ca(root)
            for name, names in ((self.layout.switch_certificate.name, [*here, *bridges]), ("controller", here)):
                authority.issue_server(root, name, names, root / name)
            for site in self.topology.site_names:
                authority.issue_sae(root, f"sae-{site}", root / f"sae-{site}", site=site)
            for site in shelf_sites(self._cards):
                authority.issue_sae(root, card_sae(site), root / card_sae(site), site=site)
        except PkiError as error:
            raise EnvironmentLacks(str(error)) from error

    def _start_kms(self) -> None:
        kms = clients.KmsAdmin(self.layout.kms_socket)
        service = Service("kms", self.record.namespaces[KMS_NODE], kms.is_ready, kms.is_ready)
        options = self.options
        config = kms_file(self.topology, self.layout, options.configuration, options.extensions, self._cards)
        self._spawn("kms", service, config)

    def _open_agents(self) -> None:
        self._note(AGENTS, self._agents.open())

    def _start_tunnels(self) -> None:
        vendors = agents_vendors(self.topology, self.layout)
        if vendors:
            opened = [self.layout.kme_door(site) for site in vendors]
            service = Service(
                "scripts.testbed.life.kme_doors", None, lambda: all(map(Path.is_socket, opened)), lambda: True
            )
            self._spawn(KME_DOORS, service, doors(self.topology, self.layout))
            self._await(KME_DOORS)
        self._await(AGENTS, self._agents.is_ready)
        for site in self.topology.site_names:
            tunnel = clients.TunnelControl(self.layout.tunnel_socket(site))
            service = Service(None, self.record.namespaces[site], tunnel.is_ready, tunnel.is_ready)
            options = self.options
            config = agent_file(
                self.topology, self.layout, options.configuration, site, vendors.get(site), options.extensions
            )
            self._spawn(f"tunnel-{site}", service, config)

    def _start_devices(self) -> None:
        """Where slices are set up one after the other: the controller layer, and a device for each site."""
        for name, module, config, is_ready in devices.services(self.topology, self.layout, self.options.configuration):
            self._spawn(name, Service(module, None, is_ready, is_ready), config)

    def _start_shelves(self) -> None:
        """In the machine's own namespace, where the ports are; they go to the lines by themselves."""
        configuration, namespaces = self.options.configuration, self.record.namespaces
        for site, config in shelf_files(self.topology, self.layout, configuration, self._cards, namespaces).items():
            control = clients.ShelfControl(self.layout.shelf_socket(site))
            self._spawn(f"shelf-{site}", Service(None, os.getpid(), control.is_up, control.is_ready), config)

    def _start_controller(self) -> None:
        options = self.options
        api = clients.Northbound(self.record.api_url, self.layout.token)
        service = Service("controller", None, api.is_ready, api.answers, CONTROLLER_NICENESS)
        ovsdb = database_socket() if options.bfd else None
        config = controller_file(
            self.topology, self.layout, options.configuration, ovsdb, options.unsafe_mutation, options.extensions
        )
        self._spawn("controller", service, config)

    def _call_switches(self) -> None:
        openvswitch.reconnect(self.record.bridges)

    def _end_processes(self) -> None:
        """The controller first: to it the ends of the others would be failures to deal with."""
        controller = self.record.processes.get("controller")
        end_all([controller] if controller is not None else [])
        end_all(self.record.processes.values())

    def _spawn(self, name: str, service: Service, config: Any) -> None:
        write_private(self.layout.config(name), json.dumps(config, indent=1))
        self._services[name] = service
        with deferred():
            self._launch(name, service)

    def _launch(self, name: str, service: Service, append: bool = False) -> None:
        config, log = self.layout.config(name), self.layout.log(name)
        if service.module is None:
            child: Child = self._fork_agent(name, service, append)
        else:
            child = spawn(service.module, ["--config", str(config)], log, service.namespace, append, service.niceness)
        self._note(name, child)

    def _note(self, name: str, child: Child) -> None:
        process = Process.of(child.pid)
        self._children[name] = child
        self._update(processes={**self.record.processes, name: process})

    def _fork_agent(self, name: str, service: Service, append: bool) -> Child:
        if not self._agents.is_alive():
            self._open_agents()
            self._await(AGENTS, self._agents.is_ready)
        assert service.namespace is not None
        return self._agents.start(name, self.layout.config(name), self.layout.log(name), service.namespace, append)

    def _await(self, name: str, is_ready: Callable[[], bool] | None = None) -> None:
        ready, limit_s = is_ready or self._services[name].is_ready, start_timeout_s(len(self.topology.site_names))
        wait_ready(name, self._children[name], self.layout.log(name), ready, limit_s)
