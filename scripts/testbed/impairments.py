"""Adapter: channels that lose, delay and scatter packets: by the kernel's netem, else by a process that they cross."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

from scripts.errors import EnvironmentLacks
from scripts.testbed.faults import Effects
from scripts.testbed.life.supervisor import SupervisorClient
from scripts.testbed.paths import Layout, write_private
from topologies import links, tcx
from topologies.links import Impairment
from topologies.spec import Topology

SHAPER = "shaper"
"""The process, among those of a run (:mod:`scripts.testbed.life.shaper`)."""


class ShaperFiles:
    """What the shaper is told, and how it says that it has done it."""

    def __init__(self, layout: Layout) -> None:
        self._config, self._ready = layout.config(SHAPER), layout.run / "shaper-ready.json"

    def write(self, impaired: Mapping[str, Impairment]) -> None:
        """For the process that is started next."""
        ports = [{"interface": name, **asdict(how)} for name, how in sorted(impaired.items())]
        document = {"generation": self._generation() + 1, "ready": str(self._ready), "ports": ports}
        write_private(self._config, json.dumps(document, indent=1))

    def is_ready(self) -> bool:
        try:
            return int(json.loads(self._ready.read_text(encoding="ascii"))) == self._generation()
        except (FileNotFoundError, ValueError):
            return False

    def _generation(self) -> int:
        try:
            return int(json.loads(self._config.read_text(encoding="utf-8"))["generation"])
        except FileNotFoundError:
            return 0


class Impairments:
    """Carries out the difference between two states of a run's channels."""

    def __init__(self, topology: Topology, layout: Layout, netem: bool, supervisor: SupervisorClient) -> None:
        self._topology, self._netem, self._supervisor = topology, netem, supervisor
        self._files = ShaperFiles(layout)

    def require(self) -> None:
        """EnvironmentLacks where this machine can do it in neither way."""
        if not self._netem and not _has_tcx():
            raise EnvironmentLacks(
                "this kernel can neither delay nor lose packets (tc's netem), nor lead them to a process that does "
                "(eBPF's tcx, Linux 6.6 on x86_64 or aarch64): load sch_netem, or use a kernel that has it"
            )

    def change(self, old: Effects, new: Effects) -> None:
        """Whatever is silent stays so: a black hole comes before all else. Raises LinkError, DidNotHold."""
        if self._netem:
            self._change_netem(old, new)
        elif old.impaired != new.impaired:
            self._files.write(new.impaired)
            self._supervisor.restart(SHAPER)

    def _change_netem(self, old: Effects, new: Effects) -> None:
        for channel in self._topology.channels:
            shape = links.shape_of(self._topology, channel, self._netem)
            for name in links.interfaces(self._topology, channel):
                was, now = old.impaired.get(name), new.impaired.get(name)
                is_plain = was is None or name in old.silent  # what silence ends in
                if name in new.silent or (was == now and not (now and is_plain)):
                    continue
                if now is not None:
                    links.impair((name,), shape, now)
                else:
                    links.restore((name,), shape)


@cache
def _has_tcx() -> bool:
    return tcx.is_supported()
