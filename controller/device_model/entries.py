"""Rules, meters and groups of a switch as entries of the module qslice-cross-connects, and back, without loss.

What a switch holds that the module has no words for (its rule to drop all else, the trial of a channel) has no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from controller.forwarding.items import (
    ARP_PRIORITY,
    ETH_IPV4,
    HOST_PORT,
    IN_PORT,
    INGRESS_PRIORITY,
    TRANSIT_PRIORITY,
    UDP,
    UNTAGGED,
    VLAN_PRESENT,
    Action,
    Bucket,
    Group,
    GroupType,
    Item,
    Match,
    Meter,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.forwarding.rules import arp_responder

Body: TypeAlias = dict[str, Any]
"""An entry's leaves by name, as JSON has them (RFC 7951: a 64-bit number is a text)."""


class List(StrEnum):
    """The module's lists."""

    POLICER = "policer"
    GROUP = "protection-group"
    SWITCHED = "switched"
    CLIENT = "client"
    ANSWER = "address-answer"


KEYS: Mapping[List, tuple[str, ...]] = {
    List.POLICER: ("id",),
    List.GROUP: ("id",),
    List.SWITCHED: ("interface", "label"),
    List.CLIENT: ("source", "destination", "udp-port"),
    List.ANSWER: ("address",),
}
KINDS = {GroupType.ALL: "all", GroupType.FAST_FAILOVER: "failover"}
GROUPS = {name: kind for kind, name in KINDS.items()}
ANY_PORT = 0
Key: TypeAlias = tuple[List, tuple[int | str, ...]]


@dataclass(frozen=True)
class Entry:
    """One entry of a list. Two of one key cannot stand side by side."""

    list: List
    body: Body

    @property
    def key(self) -> Key:
        return self.list, tuple(self.body[name] for name in KEYS[self.list])


class Foreign(ValueError):
    """What the module has no words for."""


class SwitchModel:
    """The entries of one site's switch, whose interfaces have these numbers."""

    def __init__(self, site: str, numbers: Mapping[str, int]) -> None:
        self.site = site
        self._numbers = dict(numbers)
        self._names = {number: name for name, number in numbers.items()}

    @property
    def interfaces(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    # --- from the switch -----------------------------------------------------------------------------------------

    def entries(self, items: Iterable[Item]) -> list[Entry]:
        """Those that have entries."""
        return [entry for entry in map(self.entry, items) if entry is not None]

    def entry(self, item: Item) -> Entry | None:
        """None for what the module has no words for."""
        try:
            entry = self._entry(item)
            return entry if self.item(entry) == item else None
        except (Foreign, KeyError, ValueError):
            return None

    def _entry(self, item: Item) -> Entry:
        match item:
            case Meter():
                return Entry(List.POLICER, {"id": item.id, "rate": item.rate_kbps, "burst": item.burst_kbits})
            case Group():
                ways = [self._way(index, bucket) for index, bucket in enumerate(item.buckets)]
                return Entry(List.GROUP, {"id": item.id, "type": KINDS[item.type], "way": ways})
            case Rule(priority=priority, match=match) if priority == ARP_PRIORITY:
                (mac,) = [str(a.value) for a in item.actions if isinstance(a, SetField) and a.field == "eth_src"]
                return Entry(List.ANSWER, {"address": dict(match)["arp_tpa"], "mac": mac})
            case Rule(priority=priority) if priority == TRANSIT_PRIORITY:
                fields = dict(item.match)
                key = {
                    "interface": self._names[int(fields["in_port"])],
                    "label": int(fields["vlan_vid"]) - VLAN_PRESENT,
                }
                return Entry(List.SWITCHED, {**key, "cookie": str(item.cookie), **self._going(item.actions)})
            case Rule(priority=priority) if priority == INGRESS_PRIORITY:
                fields = dict(item.match)
                key = {
                    "source": fields["ipv4_src"], "destination": fields["ipv4_dst"],
                    "udp-port": fields.get("udp_src", ANY_PORT),
                }  # fmt: skip
                own = {"policer": item.meter, "cookie": str(item.cookie)}
                return Entry(List.CLIENT, {**key, **own, **self._going(item.actions)})
        raise Foreign(f"{item}")

    def _way(self, index: int, bucket: Bucket) -> Body:
        watch = {} if bucket.watch_port is None else {"watch": self._names[bucket.watch_port]}
        return {"index": index, **watch, **self._going(bucket.actions)}

    def _going(self, actions: tuple[Action, ...]) -> Body:
        match actions:
            case (ToGroup(group),):
                return {"group": group}
            case (PopVlan(), Output(port)):
                return {"tag": "pop", **self._out(port)}
            case (PushVlan(), SetField("vlan_vid", vid), Output(port)):
                return {"tag": "push", "out-label": int(vid) - VLAN_PRESENT, **self._out(port)}
            case (SetField("vlan_vid", vid), Output(port)):
                return {"tag": "swap", "out-label": int(vid) - VLAN_PRESENT, **self._out(port)}
        raise Foreign(f"{actions}")

    def _out(self, port: int) -> Body:
        return {} if port == IN_PORT else {"out-interface": self._names[port]}

    # --- to the switch -------------------------------------------------------------------------------------------

    def items(self, entries: Iterable[Entry]) -> list[Item]:
        """Raises KeyError for an interface that the switch does not have."""
        return [self.item(entry) for entry in entries]

    def item(self, entry: Entry) -> Item:
        return _MAKERS[entry.list](self, entry.body)

    def _policer(self, body: Body) -> Item:
        return Meter(self.site, body["id"], body["rate"], body["burst"])

    def _group(self, body: Body) -> Item:
        ways = sorted(body.get("way", ()), key=lambda way: int(way["index"]))
        return Group(self.site, body["id"], GROUPS[body["type"]], tuple(self._bucket(way) for way in ways))

    def _bucket(self, way: Body) -> Bucket:
        return Bucket(self._actions(way), self._numbers[way["watch"]] if "watch" in way else None)

    def _switched(self, body: Body) -> Item:
        match = _match(in_port=self._numbers[body["interface"]], vlan_vid=body["label"] | VLAN_PRESENT)
        return Rule(self.site, TRANSIT_PRIORITY, match, self._actions(body), int(body["cookie"]))

    def _client(self, body: Body) -> Item:
        port = body["udp-port"]
        more: dict[str, int] = {} if port == ANY_PORT else {"ip_proto": UDP, "udp_src": port, "udp_dst": port}
        match = _match(
            in_port=HOST_PORT, vlan_vid=UNTAGGED, eth_type=ETH_IPV4,
            ipv4_src=body["source"], ipv4_dst=body["destination"], **more,
        )  # fmt: skip
        return Rule(self.site, INGRESS_PRIORITY, match, self._actions(body), int(body["cookie"]), body["policer"])

    def _answer(self, body: Body) -> Item:
        return arp_responder(self.site, body["address"], body["mac"])

    def _actions(self, body: Body) -> tuple[Action, ...]:
        if "group" in body:
            return (ToGroup(body["group"]),)
        out = Output(self._numbers[body["out-interface"]] if "out-interface" in body else IN_PORT)
        if body["tag"] == "pop":
            return PopVlan(), out
        label = SetField("vlan_vid", body["out-label"] | VLAN_PRESENT)
        return (PushVlan(), label, out) if body["tag"] == "push" else (label, out)


_MAKERS: Mapping[List, Callable[[SwitchModel, Body], Item]] = {
    List.POLICER: SwitchModel._policer,
    List.GROUP: SwitchModel._group,
    List.SWITCHED: SwitchModel._switched,
    List.CLIENT: SwitchModel._client,
    List.ANSWER: SwitchModel._answer,
}


def _match(**fields: int | str) -> Match:
    return tuple(sorted(fields.items()))
