"""`qslice doctor`: what this machine can and cannot do, and what is done instead."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from scripts.setup.capabilities import Capability, is_sufficient, survey
from scripts.setup.machine import describe_machine, describe_versions
from topologies.datapath import Datapath

WIDTH_OF_A_FILE = 132
_KERNEL_TUNNEL = ("xfrm-esp", "xfrm-interface")


@dataclass(frozen=True)
class Diagnosis:
    """All that the doctor says."""

    capabilities: tuple[Capability, ...]
    machine: dict[str, str | int | float]
    versions: dict[str, str]

    @property
    def is_sufficient(self) -> bool:
        return is_sufficient(self.capabilities)

    @property
    def datapath(self) -> Datapath:
        has_kernel = any(found.is_present for found in self.capabilities if found.id == "kernel-datapath")
        return "system" if has_kernel else "netdev"

    @property
    def tunnel(self) -> str:
        """What encrypts the tunnels' packets here by default."""
        lacking = [found for found in self.capabilities if found.id in _KERNEL_TUNNEL and not found.is_present]
        if not lacking:
            return "kernel: it has ESP with AES-256-GCM and xfrm interfaces"
        return f"userspace: {lacking[0].what} is missing ({lacking[0].detail})"

    def to_dict(self) -> dict[str, object]:
        return {
            "ok": self.is_sufficient,
            "datapath": self.datapath,
            "tunnel": self.tunnel,
            "machine": self.machine,
            "versions": self.versions,
            "capabilities": [
                {
                    "id": found.id,
                    "what": found.what,
                    "present": found.is_present,
                    "required": found.is_required,
                    "detail": found.detail,
                    "instead": found.instead,
                }
                for found in self.capabilities
            ],
        }


def examine() -> Diagnosis:
    return Diagnosis(survey(), describe_machine(), describe_versions())


def show(diagnosis: Diagnosis, console: Console) -> None:
    """The table, and the sentence that follows from it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("capability", "here", "found", "instead"):
        table.add_column(heading, no_wrap=heading == "here", overflow="fold")
    for found in diagnosis.capabilities:
        mark = "yes" if found.is_present else "NO" if found.is_required else "no"
        style = "green" if found.is_present else "bold red" if found.is_required else "yellow"
        table.add_row(f"{found.what} ({found.id})", f"[{style}]{mark}[/]", found.detail, found.instead)
    console.print(table)
    machine = diagnosis.machine
    console.print(
        f"\n{machine['system']}, kernel {machine['kernel']}, {machine['processors']} processors, "
        f"{machine['memory_gb']} GB; bridges use the {diagnosis.datapath} datapath.\n"
        f"Tunnels are carried by {diagnosis.tunnel}; `up --tunnel` takes another.",
        highlight=False,
    )
    lacking = [found.id for found in diagnosis.capabilities if found.is_required and not found.is_present]
    verdict = f"QSlice cannot run here; missing: {', '.join(lacking)}." if lacking else "QSlice can run here."
    console.print(verdict, style="bold red" if lacking else "green", highlight=False)
