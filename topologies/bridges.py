"""Adapter: the sites' bridges in Open vSwitch, made and removed in one transaction of its database.

It reconfigures itself once then, not once for each bridge.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from topologies.ovsdb import Database, Operation, change_bridges
from topologies.spec import Topology

OPENFLOW_VERSION = "OpenFlow13"
MAX_BACKOFF_MS = 1000


def make(
    topology: Topology,
    datapath_type: str,
    controller: str,
    bfd: Mapping[str, str] | None = None,
    remembered: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """A bridge per site with all its ports; ``controller`` is an OpenFlow target. Raises NetworkError.

    They fail secure: forward only what they were told. ``bfd`` are the settings of sessions on channels; None: none.
    ``remembered`` is what single interfaces bear in their record (external_ids).
    """
    operations: list[Operation] = []
    for n, site in enumerate(topology.site_names):
        bridge = topology.bridge(site)
        ports = [_port(operations, f"{n}", bridge, {"type": "internal"})]
        for port in topology.ports(site):
            settings: dict[str, Any] = {"ofport_request": port.number}
            if bfd is not None and port.channel is not None:
                settings["bfd"] = _map(bfd)
            if port.interface in (remembered or {}):
                settings["external_ids"] = _map((remembered or {})[port.interface])
            ports.append(_port(operations, f"{n}_{port.number}", port.interface, settings))
        target = {"target": controller, "max_backoff": MAX_BACKOFF_MS}
        operations.append({"op": "insert", "table": "Controller", "row": target, "uuid-name": f"controller{n}"})
        row = {
            "name": bridge, "datapath_type": datapath_type, "fail_mode": "secure", "protocols": OPENFLOW_VERSION,
            "controller": ["named-uuid", f"controller{n}"], "ports": ["set", ports],
            "other_config": _map({
                "datapath-id": f"{topology.dpid(site):016x}", "dp-desc": bridge, "disable-in-band": "true",
            }),
        }  # fmt: skip
        operations.append({"op": "insert", "table": "Bridge", "row": row, "uuid-name": f"bridge{n}"})
    made = [["named-uuid", f"bridge{n}"] for n in range(len(topology.sites))]
    with Database() as database:
        database.configure([*operations, change_bridges("insert", made)])


def remove(bridges: Iterable[str]) -> None:
    """Remove those that there are, from the database alone where ovs-vswitchd has died. Raises NetworkError."""
    wanted = set(bridges)
    if not wanted:
        return
    with Database() as database:
        (found,) = database.transact([{"op": "select", "table": "Bridge", "where": [], "columns": ["_uuid", "name"]}])
        present = [row["_uuid"] for row in found["rows"] if row["name"] in wanted]
        if present:
            # Ports, interfaces and controllers go with the bridges that refer to them.
            database.configure([change_bridges("delete", present)], wait=_daemon_answers())


def _port(operations: list[Operation], key: str, name: str, settings: dict[str, Any]) -> list[str]:
    interface, port = f"interface{key}", f"port{key}"
    operations += (
        {"op": "insert", "table": "Interface", "row": {"name": name, **settings}, "uuid-name": interface},
        {"op": "insert", "table": "Port", "row": {"name": name, "interfaces": ["named-uuid", interface]},
         "uuid-name": port},
    )  # fmt: skip
    return ["named-uuid", port]


def _map(values: Mapping[str, str]) -> list[Any]:
    return ["map", [list(item) for item in values.items()]]


def _daemon_answers() -> bool:
    question = ["ovs-appctl", "--timeout=2", "--target=ovs-vswitchd", "version"]
    return subprocess.run(question, capture_output=True, check=False).returncode == 0
