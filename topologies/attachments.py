"""Adapter: interfaces of the machine as ports of switches, in the state they are found in again afterwards.

One that anybody uses is refused: an address, a route, a bridge or bond above it, a device on top of it, a queueing
discipline that was put there. So nothing that worked before stops working.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from topologies.errors import NetworkError
from topologies.links import CHANNEL_MTU
from topologies.ovsdb import Database

log = logging.getLogger(__name__)

REMEMBERED = "qslice-attached"
"""The key among an Interface's external_ids in Open vSwitch that holds the state to go back to."""
_PLAIN_QDISCS = {"noop", "noqueue", "mq", "pfifo_fast", "fq_codel", "fq", "pfifo"}  # what a kernel gives by itself
_IPV6 = Path("/proc/sys/net/ipv6/conf")


class InUse(NetworkError):
    """An interface that is not there, or that somebody uses."""


@dataclass(frozen=True)
class Attached:
    """An interface as it was found."""

    name: str
    mtu: int
    is_up: bool
    ipv6_disabled: str | None  # None: this kernel has no IPv6

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Attached:
        """ValueError, TypeError for what :meth:`to_text` did not write."""
        return cls(**json.loads(text))


def look(names: Iterable[str]) -> tuple[Attached, ...]:
    """Each as it is. InUse says why one cannot be a port."""
    wanted = tuple(names)
    return tuple(_look(name) for name in wanted) if wanted else ()


def prepare(found: Iterable[Attached]) -> None:
    """Up, silent by itself, with room for labels where the device has it. NetworkError."""
    for each in found:
        if each.ipv6_disabled is not None:
            (_IPV6 / each.name / "disable_ipv6").write_text("1", encoding="ascii")
        _ip("link", "set", "dev", each.name, "mtu", str(CHANNEL_MTU), check=False)
        _ip("link", "set", "dev", each.name, "up")


def restore(found: Iterable[Attached]) -> list[str]:
    """As they were; the names of those that are still there."""
    present = {name for _, name in socket.if_nameindex()}
    restored = []
    for each in found:
        if each.name not in present:  # unplugged meanwhile, or its machine has ended
            continue
        subprocess.run(["tc", "qdisc", "del", "dev", each.name, "root"], capture_output=True, check=False)
        _ip("link", "set", "dev", each.name, "mtu", str(each.mtu), check=False)
        _ip("link", "set", "dev", each.name, "up" if each.is_up else "down", check=False)
        if each.ipv6_disabled is not None:
            (_IPV6 / each.name / "disable_ipv6").write_text(each.ipv6_disabled, encoding="ascii")
        restored.append(each.name)
    return restored


def remembered() -> dict[str, Attached]:
    """What Open vSwitch's database says of interfaces that a run attached. Raises NetworkError.

    What another version wrote there is passed over, with a warning: it cannot be restored by this one.
    """
    with Database() as database:
        (rows,) = database.transact(
            [{"op": "select", "table": "Interface", "where": [], "columns": ["name", "external_ids"]}]
        )
    found = {}
    for row in rows["rows"]:
        text = dict(row["external_ids"][1]).get(REMEMBERED)
        if text is None:
            continue
        try:
            found[row["name"]] = Attached.from_text(text)
        except (ValueError, TypeError) as error:
            log.warning("attached interface %s is not restored: %s", row["name"], error)
    return found


def _look(name: str) -> Attached:
    links = {link["ifname"]: link for link in _json("link", "show")}
    if name not in links:
        near = sorted(set(links) - {"lo"})
        raise InUse(f"attach: there is no interface {name!r}; there are {', '.join(near) or 'none'}")
    link = links[name]
    wrong = _why_used(name, link, links)
    if wrong is not None:
        raise InUse(f"attach: {name} {wrong}: QSlice takes only interfaces that nobody uses")
    setting = _IPV6 / name / "disable_ipv6"
    ipv6 = setting.read_text(encoding="ascii").strip() if setting.exists() else None
    return Attached(name, int(link["mtu"]), "UP" in link["flags"], ipv6)


def _why_used(name: str, link: dict[str, Any], links: dict[str, dict[str, Any]]) -> str | None:
    if "LOOPBACK" in link["flags"]:
        return "is the loopback interface"
    if "master" in link:
        return f"is part of {link['master']}"
    above = sorted(each["ifname"] for each in links.values() if each.get("link") == name and not _is_peer(each))
    if above:
        return f"carries {', '.join(above)}"
    (shown,) = _json("address", "show", "dev", name)
    addresses = [a["local"] for a in shown["addr_info"] if not (a["family"] == "inet6" and a["scope"] == "link")]
    if addresses:
        return f"has the address {', '.join(addresses)}"
    for family in ("-4", "-6"):
        routes = [r["dst"] for r in _json(family, "route", "show", "table", "all", "dev", name) if not _is_kernels(r)]
        if routes:
            return f"has the route {routes[0]}"
    switch = _ovs_bridge(name)
    if switch is not None:
        return f"is a port of the Open vSwitch bridge {switch}"
    qdisc = _qdisc(name)
    return None if qdisc in _PLAIN_QDISCS else f"has the queueing discipline {qdisc}"


def _is_peer(link: dict[str, Any]) -> bool:
    """The other end of a veth pair has its peer as ``link``, and is not on top of it."""
    return bool(link.get("linkinfo", {}).get("info_kind") == "veth")


def _is_kernels(route: dict[str, Any]) -> bool:
    """What the kernel adds for link-local addresses and multicast as soon as an interface is up."""
    return str(route["dst"]).startswith(("fe80", "ff00", "multicast")) or route.get("type") in ("multicast", "anycast")


def _ovs_bridge(name: str) -> str | None:
    with Database() as database:
        ports, bridges = database.transact([
            {"op": "select", "table": "Port", "where": [["name", "==", name]], "columns": ["_uuid"]},
            {"op": "select", "table": "Bridge", "where": [], "columns": ["name", "ports"]},
        ])  # fmt: skip
    uuids = [row["_uuid"] for row in ports["rows"]]
    for row in bridges["rows"]:
        kind, value = row["ports"]
        held = value if kind == "set" else [row["ports"]]
        if any(uuid in held for uuid in uuids):
            return str(row["name"])
    return None


def _qdisc(name: str) -> str:
    done = subprocess.run(
        ["tc", "-json", "qdisc", "show", "dev", name, "root"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InUse(f"attach: what shapes {name} cannot be read: tc: {done.stderr.strip()}")
    found = json.loads(done.stdout or "[]")
    return str(found[0]["kind"]) if found else "noqueue"


def _json(*words: str) -> list[dict[str, Any]]:
    done = _ip("-json", "-details", *words)
    found = json.loads(done or "[]")
    return [each for each in found if each]


def _ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise NetworkError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
