"""The record of a run: what was started and made, kept in one file so that any later command finds it.

It is written before the first thing is made, so that a run that was killed half-way can be cleaned up by name.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from scripts.errors import EnvironmentLacks
from scripts.testbed.paths import Layout, write_private
from topologies.attachments import Attached
from topologies.spec import EncryptionMode, Topology, topology_from_dict


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for another: its id and when it was started (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this id now; ProcessLookupError when there is none."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ProcessLookupError(pid) from None
        fields = stat.rpartition(")")[2].split()
        return cls(pid, int(fields[19]))

    def is_alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return False
        fields = stat.rpartition(")")[2].split()
        return int(fields[19]) == self.started and fields[0] not in "ZX"


class DamagedRecord(EnvironmentLacks):
    """There is a record, and it cannot be read."""


@dataclass(frozen=True)
class RunRecord:
    """One run. ``phase`` is ``starting``, ``ready`` or ``failed`` (then ``failure`` says why)."""

    phase: str
    supervisor: Process
    topology: dict[str, Any] = field(repr=False)
    datapath: str
    netem: bool
    api_url: str
    bridges: tuple[str, ...]
    interfaces: tuple[str, ...]
    ovs_ssl_before: tuple[str, str, str] | None
    state: str
    """Where the certificates and the API's token are: in the checkout that started the run, be it this one or not."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """The settings that the run was started with (:meth:`scripts.configuration.values.Configuration.to_dict`)."""
    processes: dict[str, Process] = field(default_factory=dict)
    namespaces: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    attached: tuple[Attached, ...] = ()
    """The machine's own interfaces that became ports, as they were."""

    @property
    def network(self) -> Topology:
        return topology_from_dict(self.topology)

    @property
    def encryption(self) -> EncryptionMode:
        """What seals in this run."""
        given = self.configuration.get("encryption.mode")
        return EncryptionMode.HOST if given is None else EncryptionMode(given["value"])

    def save(self, layout: Layout) -> None:
        document = {each.name: getattr(self, each.name) for each in fields(self)}
        write_private(layout.record, json.dumps(document, default=asdict))

    def layout(self, layout: Layout) -> Layout:
        """Where the things of this run are."""
        return replace(layout, state=Path(self.state))

    def changed(self, **fields: Any) -> RunRecord:
        return replace(self, **fields)


def read_record(layout: Layout) -> RunRecord | None:
    """The last run's record, running or not; None when nothing was left."""
    try:
        raw = json.loads(layout.record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DamagedRecord(f"{layout.record} is damaged ({error}); run: scripts/qslice down") from error
    try:
        return _record_from_dict(raw)
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedRecord(
            f"{layout.record} is not of this version of QSlice ({error}); run: scripts/qslice down"
        ) from error


def _record_from_dict(raw: dict[str, Any]) -> RunRecord:
    before = raw["ovs_ssl_before"]
    return RunRecord(
        **{
            **raw,
            "supervisor": Process(**raw["supervisor"]),
            "processes": {name: Process(**p) for name, p in raw["processes"].items()},
            "bridges": tuple(raw["bridges"]),
            "interfaces": tuple(raw["interfaces"]),
            "attached": tuple(Attached(**each) for each in raw.get("attached", ())),
            "ovs_ssl_before": tuple(before) if before else None,
        }
    )


def lock_holder(layout: Layout) -> Process | None:
    """The supervisor of a run whose record cannot be read: it holds the lock for as long as it lives."""
    try:
        inode = layout.lock.stat().st_ino
    except FileNotFoundError:
        return None
    held = re.compile(rf"^\d+: FLOCK +ADVISORY +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:{inode} ", re.MULTILINE)
    found = held.search(Path("/proc/locks").read_text(encoding="ascii"))
    try:
        return Process.of(int(found[1])) if found else None
    except ProcessLookupError:
        return None


def running_record(layout: Layout) -> RunRecord:
    """The record of the run that is up now; EnvironmentLacks when there is none."""
    record = read_record(layout)
    if record is None or not record.supervisor.is_alive():
        raise EnvironmentLacks("nothing is running; start it with: scripts/qslice up --detach")
    if record.phase != "ready":
        raise EnvironmentLacks(f"the network is still {record.phase}; try again in a moment")
    return record
