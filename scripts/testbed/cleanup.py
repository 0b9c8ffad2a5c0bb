"""Removing what a run left behind: exactly what its record names, nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from scripts.errors import EnvironmentLacks
from scripts.testbed.life import openvswitch
from scripts.testbed.paths import Layout
from scripts.testbed.processes import down_timeout_s, end, end_all
from scripts.testbed.run_record import DamagedRecord, Process, RunRecord, lock_holder, read_record
from topologies import attachments, bridges, interfaces
from topologies.attachments import Attached
from topologies.errors import NetworkError
from topologies.machine import ROOT_MANAGEMENT_INTERFACE
from topologies.queues import quick_closing


def read_or_guess(layout: Layout) -> RunRecord | None:
    """The last run's record. Where that cannot be read, or was lost with the machine's power (``/run`` is, Open
    vSwitch's database is not), one of all that a run of a shipped topology might have made and of the bridges that bear
    our mark."""
    try:
        record = read_record(layout)
    except DamagedRecord:
        return _guess(layout)
    return _guess(layout) if record is None and _is_ours(_present_ssl()) else record


def ssl_of_others() -> tuple[str, str, str] | None:
    """Open vSwitch's TLS settings as a run has to put them back: a dead run's own are none."""
    found = openvswitch.read_ssl()
    return None if _is_ours(found) else found


def take_down(record: RunRecord, layout: Layout, step: Callable[[str], None]) -> list[str]:
    """End a run, and remove what an earlier one may have left; what that was. ``step`` hears each step."""
    step("stopping processes, bridges, links and namespaces")
    if record.supervisor.is_alive():
        end(record.supervisor, grace_s=down_timeout_s(len(record.namespaces)))
    step("looking for leftovers")
    left = read_or_guess(layout)
    return remove_leftovers(left, layout) if left is not None else []


def remove_leftovers(record: RunRecord, layout: Layout) -> list[str]:
    """End the run's processes, remove its bridges and interfaces, forget it. Returns what there was to remove."""
    alive = {name: process for name, process in record.processes.items() if process.is_alive()}
    end_all(alive.values())
    removed = [f"process {name} ({process.pid})" for name, process in alive.items()]
    known = set(openvswitch.vsctl("list-br").split())
    present = [bridge for bridge in record.bridges if bridge in known]
    try:
        with quick_closing():
            bridges.remove(present)
    except NetworkError as error:
        raise EnvironmentLacks(str(error)) from error
    removed += [f"bridge {bridge}" for bridge in present]
    # A user-space bridge's own interface outlives an ovs-vswitchd that has died.
    kept = {each.name for each in record.attached}
    made = [name for name in (*record.interfaces, *record.bridges) if name not in kept]
    removed += [f"interface {name}" for name in interfaces.remove(made)]
    removed += [f"use of {name}" for name in attachments.restore(record.attached)]
    if record.bridges:
        openvswitch.restore_ssl(record.ovs_ssl_before)
    forget(layout)
    return removed


def forget(layout: Layout) -> None:
    """Remove the run's sockets, configuration and record, by their names. The lock stays with whoever holds it, and
    what somebody else put into the folder stays too."""
    for path in layout.of_a_run():
        path.unlink(missing_ok=True) if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)


def _guess(layout: Layout) -> RunRecord:
    from topologies.catalog import CATALOG, load  # only here: it takes longer to load than all else to end a run

    marked, topologies = _marked_bridges(), [load(name) for name in CATALOG]
    sites = [(topology, site) for topology in topologies for site in topology.site_names]
    ports = chain(*marked.values(), (p.interface for topology, site in sites for p in topology.ports(site)))
    bridges = [*marked, *(topology.bridge(site) for topology, site in sites)]
    return RunRecord(
        phase="failed", supervisor=lock_holder(layout) or Process(0, 0), topology={}, datapath="", netem=False,
        api_url="", bridges=tuple(dict.fromkeys(bridges)),
        interfaces=(*dict.fromkeys(ports), ROOT_MANAGEMENT_INTERFACE), ovs_ssl_before=ssl_of_others(),
        state=str(layout.state), attached=tuple(_attached(chain(*marked.values()))),
    )  # fmt: skip


def _attached(ports: Iterable[str]) -> Iterator[Attached]:
    """Of a dead run's ports those that were not made by it."""
    try:
        known = attachments.remembered()
    except NetworkError:  # no Open vSwitch runs: there are no ports either
        return
    yield from (known[name] for name in ports if name in known)


def _marked_bridges() -> dict[str, tuple[str, ...]]:
    try:
        return openvswitch.marked_bridges()
    except (EnvironmentLacks, FileNotFoundError):
        return {}


def _present_ssl() -> tuple[str, str, str] | None:
    try:
        return openvswitch.read_ssl()
    except (EnvironmentLacks, FileNotFoundError):  # no Open vSwitch runs, or none is installed: nobody's settings
        return None


def _is_ours(ssl: tuple[str, str, str] | None) -> bool:
    """Whether they are a run's, of this checkout or another (see :attr:`Layout.switch_certificate`)."""
    return ssl is not None and Path(ssl[0]).parent.parts[-2:] == Layout().switch_certificate.parts[-2:]
