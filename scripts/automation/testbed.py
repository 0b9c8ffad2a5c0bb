"""A network from Python: up for the length of a block, its slices, hosts, faults and keys at hand as values.

Everything goes through the same API, agents and run record as the commands do, so both may be used side by side. Calls
block; nothing here needs an event loop, sets a signal handler or prints, so scripts, pytest and notebooks can use it.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

from kms.sources.qkd.modes import AttackKind
from scripts.automation.events import Events
from scripts.automation.report import Snapshot, render
from scripts.automation.values import Channel, Connection, Keys, Slice
from scripts.configuration.sources import read_configuration
from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.files.results import make_results_folder, write_result
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.iperf import IperfResult, iperf_together
from scripts.measure.programs.ping import PingResult, ping_all
from scripts.measure.slices import refusal
from scripts.setup import capabilities
from scripts.testbed.cleanup import take_down
from scripts.testbed.clients import every_slice
from scripts.testbed.faults import FAULTS, Fault, FaultKind
from scripts.testbed.key_rates import ask_when_known
from scripts.testbed.life.detached import Started, start_detached
from scripts.testbed.life.run import RunOptions
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from scripts.testbed.slice_requests import EXAMPLE_NAMES, load_example, read_document
from topologies.files import load_topology, parse_document
from topologies.spec import Topology

Request = Mapping[str, Any] | str | Path
Found = TypeVar("Found")
DataPlane = Literal["auto", "userspace", "kernel"]
Encryption = Literal["host", "channel", "both"]
Provisioning = Literal["parallel", "sequential"]

KEY_RATES_S = 60.0
POLL_S = 0.05


class Testbed:
    """A context manager: the network is up inside the block and gone after it. ``up`` and ``down`` do it by hand."""

    __test__ = False  # pytest takes what is called Test... for tests

    def __init__(
        self,
        topo: str | Path | Topology | Mapping[str, Any] | None = None,
        *,
        api_port: int | None = None,
        mbps_per_gbps: float | None = None,
        shaped: bool | None = None,
        tunnel: DataPlane | None = None,
        bfd: bool | None = None,
        encryption: Encryption | None = None,
        provisioning: Provisioning | None = None,
        config: str | Path | None = None,
        progress: Callable[[str], None] = lambda step: None,
    ) -> None:
        """The options of ``up``; ``config`` is a configuration file, which says what is left out here.

        ``topo`` is a name, a file, a document as a file holds it, or a topology (to which ``mbps_per_gbps`` and
        ``shaped`` do not apply). ``progress`` hears each step of the start. Raises TopologyError, WrongRequest.
        """
        configuration = read_configuration(
            None if config is None else str(config),
            {
                "api.port": api_port, "network.scale": mbps_per_gbps, "network.shaped": shaped,
                "tunnel.data_plane": tunnel, "network.bfd": bfd,
                "encryption.mode": encryption, "provisioning.mode": provisioning,
            },
        )  # fmt: skip
        topo = configuration["network.topo"] if topo is None else topo
        scale, is_shaped = configuration["network.scale"], configuration["network.shaped"]
        if isinstance(topo, Topology):
            self._planned = topo
        elif isinstance(topo, Mapping):
            self._planned = parse_document(topo, "the document", scale, is_shaped)
        else:
            self._planned = load_topology(topo, scale, is_shaped)
        self._planned.require_room()
        self._options = RunOptions(configuration, bfd=configuration["network.bfd"])
        self._progress = progress
        self._layout = Layout()
        self._run: Started | None = None
        self._system: RunningSystem | None = None

    # --- its life ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> Self:
        """Bring it up; when this returns a slice of any security can be created.

        Raises DidNotHold when a network is up already, WrongRequest for a wrong option, EnvironmentLacks without root.
        """
        if not capabilities.is_root():
            raise EnvironmentLacks("a testbed needs root: sudo scripts/qslice python FILE")
        self._run = start_detached(self._planned, self._options, self._layout, self._progress)
        self._system = RunningSystem(self._run.record, self._layout)
        atexit.register(self.down)  # a notebook or a shell that ends without it
        return self

    def down(self) -> None:
        """Take it down; nothing happens when it is not up."""
        run, self._run, self._system = self._run, None, None
        atexit.unregister(self.down)
        if run is not None:
            take_down(run.record, self._layout, self._progress)
            run.supervisor.wait()

    @classmethod
    def running(cls, layout: Layout | None = None) -> Self:
        """The network that is up already, by ``qslice up --detach`` or another process, which also ends it.

        ``layout`` says where its files are, when not at their usual place. Raises EnvironmentLacks when there is none.
        """
        found = cls()
        found._layout = layout or found._layout
        found._system = RunningSystem(running_record(found._layout), found._layout)
        return found

    @property
    def system(self) -> RunningSystem:
        """What the measurements of :mod:`scripts.measure` take. Raises EnvironmentLacks while it is not up."""
        if self._system is None:
            raise EnvironmentLacks("the testbed is not up: use it as a context manager, or call up()")
        return self._system

    @property
    def topology(self) -> Topology:
        return self.system.topology

    # --- slices --------------------------------------------------------------------------------------------------

    def create(self, request: Request, **changes: Any) -> Slice:
        """Create a slice; it is ACTIVE when this returns.

        ``request`` is a mapping, a YAML or JSON file, or the name of an example; ``changes`` replace its members. Waits
        for key rates that are not known yet. Raises ApiRefusal with the controller's reasons.
        """
        body = {**_document(request), **changes}
        return self._asked(f"creating slice {body.get('name')}", "POST", "/v1/slices", body)

    def change(self, name: str, patch: Mapping[str, Any]) -> Slice:
        """Change a slice in service by a JSON merge patch (RFC 7396), make before break. Raises ApiRefusal."""
        return self._asked(f"changing slice {name}", "PATCH", _path(name), dict(patch))

    def delete(self, name: str) -> None:
        """Delete a slice. Raises ApiRefusal."""
        status, body = self.system.api("DELETE", _path(name))
        if status not in (200, 204):
            raise refusal(f"deleting slice {name}", status, body)

    def slice(self, name: str) -> Slice:
        """The slice as it is now. Raises ApiRefusal."""
        return self._asked(f"slice {name}", "GET", _path(name))

    def slices(self) -> tuple[Slice, ...]:
        """All slices as they are now."""
        status, found = every_slice(self.system.api)
        if status != 200:
            raise refusal("listing slices", status, found)
        return tuple(Slice.of(each) for each in found)

    def connection(self, connection: Connection | str) -> Connection:
        """A connection, or the one with an id such as ``cdn/cell1-compute``, as it is now."""
        slice_name, _, name = _id(connection).partition("/")
        return self.slice(slice_name).connection(name)

    def _asked(self, what: str, method: str, path: str, body: Any = None) -> Slice:
        system = self.system
        status, answer = ask_when_known(lambda: system.api(method, path, body), KEY_RATES_S, self._progress)
        if status not in (200, 201):
            raise refusal(what, status, answer)
        return Slice.of(answer)

    # --- hosts ---------------------------------------------------------------------------------------------------

    def exec(self, host: str, *argv: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the host of a site to its end; its status is not judged. Raises WrongRequest."""
        return self.system.run(host, argv, timeout_s)

    def popen(self, host: str, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in the host of a site."""
        return self.system.popen(host, argv, **options)

    def ping(self, connection: Connection | str, count: int = 10, interval_s: float = 0.05) -> PingResult:
        """Ping over a connection from its source. Raises MeasurementError when ping itself fails."""
        found = self.connection(connection)
        return _good(ping_all(self.system, [found], count, interval_s)[found.id])

    def iperf(self, connection: Connection | str, duration_s: int = 2) -> IperfResult:
        """TCP goodput over a connection from its source. Raises MeasurementError."""
        found = self.connection(connection)
        return _good(iperf_together(self.system, [found], duration_s)[found.id])

    # --- faults --------------------------------------------------------------------------------------------------

    def cut(self, element: str) -> None:
        """Cut a channel (both ends lose carrier), a QKD section (no light arrives), or a fibre with all on it."""
        self.system.faults.inject(Fault(self._cut_of(element), element))

    def mend(self, element: str) -> None:
        """Lift every cut and black hole of a channel, or the cut of a QKD section or a fibre."""
        self.system.faults.lift(FAULTS[self._cut_of(element)].inverse, element)

    def blackhole(self, channel: str) -> None:
        """Have a channel lose every packet while its carrier stays."""
        self.system.faults.inject(Fault(FaultKind.BLACKHOLE, channel))

    def tap(self, section: str, fraction: float = 1.0, attack: str = AttackKind.INTERCEPT_RESEND.value) -> None:
        """Eavesdrop on a share of a QKD section's pulses."""
        self.system.faults.inject(Fault(FaultKind.EAVESDROP, section, None, fraction, AttackKind(attack)))

    def untap(self, section: str) -> None:
        self.system.faults.lift("eavesdrop stop", section)

    def power_off(self, site: str) -> None:
        """Switch a site off: its ports lose carrier, its switch its rules."""
        self.system.faults.inject(Fault(FaultKind.POWER_OFF, site))

    def power_on(self, site: str) -> None:
        self.system.faults.lift("node up", site)

    def kill(self, process: str) -> None:
        """Kill a process of the run: ``kms``, ``controller``, ``tunnel-SITE`` or ``kme-SITE``."""
        self.system.faults.inject(Fault(FaultKind.KILL, process))

    def restart(self, process: str) -> None:
        self.system.faults.lift("restart", process)

    def faults(self) -> tuple[Fault, ...]:
        """The faults that are on the network now."""
        return self.system.faults.active()

    def lift_all(self) -> None:
        """Lift every fault."""
        self.system.faults.lift_all()

    def _cut_of(self, element: str) -> FaultKind:
        if self.topology.has_channel(element):
            return FaultKind.CUT
        is_section = any(section.id == element for section in self.topology.sections)
        return FaultKind.CUT_SECTION if is_section else FaultKind.CUT_RISK

    # --- what can be seen ----------------------------------------------------------------------------------------

    def channels(self) -> Mapping[str, Channel]:
        """All channels by id."""
        status, body = self.system.api("GET", "/v1/topology")
        if status != 200:
            raise refusal("reading the topology", status, body)
        return {c["id"]: Channel.of(c) for c in body["channels"]}

    def keys(self) -> Keys:
        """QKD sections with their rates and error rates, and the pools of keys."""
        return Keys.of(self.system.kms.keys())

    def events(self) -> Events:
        """A context manager that follows the controller's events while its block is open."""
        return Events(self.system.api_url, self.system.northbound.token)

    def report(self, folder: str | Path) -> Path:
        """Write what it looks like now as ``report.html`` and ``report.json``; the path of the page."""
        seen = Snapshot(
            self.topology, self.slices(), tuple(self.channels().values()), self.keys(), tuple(map(str, self.faults()))
        )
        made = make_results_folder("folder", Path(folder))
        write_result(made / "report.json", json.dumps(seen.to_json(), indent=1) + "\n")
        write_result(made / "report.html", render(seen))
        return made / "report.html"

    def wait_until(self, question: Callable[[], Found], timeout_s: float = 30.0, what: str = "") -> Found:
        """Ask again and again until the answer is true; that answer. Raises DidNotHold after ``timeout_s``."""
        until = time.monotonic() + timeout_s
        while not (answer := question()):
            if time.monotonic() >= until:
                raise DidNotHold(f"not within {timeout_s:g} s: {what or question}")
            time.sleep(POLL_S)
        return answer


def _document(request: Request) -> Mapping[str, Any]:
    if isinstance(request, Mapping):
        return request
    return load_example(str(request)) if request in EXAMPLE_NAMES else read_document(str(request))


def _path(name: str) -> str:
    return f"/v1/slices/{quote(name, safe='')}"


def _id(connection: Connection | str) -> str:
    return connection if isinstance(connection, str) else connection.id


def _good(found: Found | MeasurementError) -> Found:
    if isinstance(found, MeasurementError):
        raise found
    return found
