"""Adapter: the settings of Open vSwitch that a run changes for the whole machine and puts back afterwards."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.errors import EnvironmentLacks
from topologies.spec import DATAPATH_MARK

TIMEOUT_S = 60  # who is not there is noticed at once; this is for machines that are slow


def vsctl(*arguments: str) -> str:
    """Run ``ovs-vsctl``; EnvironmentLacks with its own words when it refuses."""
    done = subprocess.run(
        ["ovs-vsctl", f"--timeout={TIMEOUT_S}", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EnvironmentLacks(f"Open vSwitch: {done.stderr.strip()} (is it running? scripts/qslice setup starts it)")
    return done.stdout


def read_ssl() -> tuple[str, str, str] | None:
    """The machine's present (key, certificate, CA) for OpenFlow, or None."""
    found = dict(re.findall(r"^(Private key|Certificate|CA Certificate): (.+)$", vsctl("get-ssl"), re.MULTILINE))
    if len(found) < 3:
        return None
    return found["Private key"], found["Certificate"], found["CA Certificate"]


def set_ssl(key: Path | str, certificate: Path | str, ca: Path | str) -> None:
    """For connections made from now on; nobody need be there yet to read it."""
    vsctl("--no-wait", "set-ssl", str(key), str(certificate), str(ca))


def restore_ssl(before: tuple[str, str, str] | None) -> None:
    """Put back what :func:`read_ssl` found."""
    if before:
        set_ssl(*before)
    else:
        vsctl("--no-wait", "del-ssl")


def reconnect(bridges: Iterable[str]) -> None:
    """Have switches try their controller now. Bridges that have none, or are gone, stay so.

    Open vSwitch 3.1 waits for 1, 2, 4 and then 8 seconds between attempts whatever ``max_backoff`` says, but tries a
    new target at once: so the same is written differently. To have none in between would not do: a switch that loses
    its last controller forgets its rules.
    """
    called = set(bridges)
    columns = ("--columns=name,controller", "list", "bridge", "--", "--columns=_uuid,target", "list", "controller")
    of_bridges, of_controllers = (_rows(line) for line in vsctl("--format=json", "--", *columns).splitlines())
    targets = {_uuids(row["_uuid"])[0]: str(row["target"]) for row in of_controllers}
    words: list[str] = []
    for row in of_bridges:
        for controller in _uuids(row["controller"]) if row["name"] in called else ():
            words += ["--", "set", "controller", controller, f"target={_respelt(targets[controller])}"]
    if words:
        vsctl("--no-wait", *words)


def _rows(document: str) -> list[dict[str, Any]]:
    """The rows of a table as ``ovs-vsctl --format=json`` writes it."""
    table = json.loads(document)
    return [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]


def _uuids(value: list[Any]) -> list[str]:
    """One, or a set of them (RFC 7047, 5.1)."""
    kind, content = value
    return [uuid for _, uuid in content] if kind == "set" else [content]


def _respelt(target: str) -> str:
    """The same address with a leading zero more, or less, before the port."""
    address, _, port = target.rpartition(":")
    return json.dumps(f"{address}:{port[1:] if port.startswith('0') else '0' + port}")


def marked_bridges() -> dict[str, tuple[str, ...]]:
    """The bridges that bear the mark of our datapath ids, whichever network they are of, with their ports."""
    rows = _rows(vsctl("--format=json", "--columns=name,other_config", "list", "bridge"))
    ids = {str(row["name"]): dict(row["other_config"][1]).get("datapath-id", "") for row in rows}
    marked = [name for name, datapath in ids.items() if _is_marked(datapath)]
    return {name: tuple(vsctl("list-ports", name).split()) for name in marked}


def _is_marked(datapath_id: str) -> bool:
    try:
        return int(datapath_id, 16) >> 32 == DATAPATH_MARK >> 32
    except ValueError:  # others' bridges may have anything there: Open vSwitch does not read it then
        return False
