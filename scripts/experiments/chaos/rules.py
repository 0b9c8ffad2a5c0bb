"""What a switch holds as ``ovs-ofctl`` prints it, and what the controller intends, in the same words. Pure.

Nothing of the controller's own decoder is used: that one compares them already, and would be wrong in both places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_FLOW = re.compile(r"cookie=(0x[0-9a-f]+),.* priority=(\d+)(\S*) actions=(.*)$", re.MULTILINE)
_GROUP = re.compile(r"group_id=(\d+),type=(\w+),(bucket=.*)$", re.MULTILINE)
_METER = re.compile(r"meter=(\d+) kbps burst bands=\s*type=drop rate=(\d+) burst_size=(\d+)")
_METER_HEAD = re.compile(r"meter=\d+ ")
_MOVE = re.compile(r"move:(\w+)->(\w+) \(\d+ bits\)$")

# The names of OpenFlow 1.3.5, table 12, as ovs-fields(7) prints them.
_FIELDS = {
    "ipv4_src": "nw_src", "ipv4_dst": "nw_dst", "udp_src": "tp_src", "udp_dst": "tp_dst", "in_port": "in_port",
    "arp_op": "arp_op", "arp_tpa": "arp_tpa",
}  # fmt: skip
_NICIRA = {
    "eth_src": "NXM_OF_ETH_SRC[]", "eth_dst": "NXM_OF_ETH_DST[]", "arp_sha": "NXM_NX_ARP_SHA[]",
    "arp_tha": "NXM_NX_ARP_THA[]", "arp_spa": "NXM_OF_ARP_SPA[]", "arp_tpa": "NXM_OF_ARP_TPA[]",
}  # fmt: skip
_PROTOCOLS = {(0x0800, None): "ip", (0x0800, 17): "udp", (0x0806, None): "arp"}
_NO_TAG = "vlan_tci=0x0000/0x1fff"


def held_items(flows: str, groups: str, meters: str) -> frozenset[str]:
    """From the output of ``dump-flows``, ``dump-groups`` and ``dump-meters`` with ``--no-names``."""
    items = [
        _rule(int(cookie, 16), int(priority), match.split(","), actions)
        for cookie, priority, match, actions in _FLOW.findall(flows)
    ]
    items += [f"group {number} {kind}: {buckets}" for number, kind, buckets in _GROUP.findall(groups)]
    known = _METER.findall(meters)
    items += [_meter(*numbers) for numbers in known]
    strange = len(_METER_HEAD.findall(meters)) - len(known)
    return frozenset([*items, *([f"{strange} meters of another form"] if strange else ())])


def cookies_of(flows: str) -> frozenset[int]:
    return frozenset(int(cookie, 16) for cookie, *_ in _FLOW.findall(flows))


def intended_items(switch: Mapping[str, Any]) -> frozenset[str]:
    """From one switch of ``GET /v1/intended``."""
    items = []
    for rule in switch["rules"]:
        actions = [f"meter:{rule['meter']}"] if rule["meter"] is not None else []
        actions += [_action(a) for a in rule["actions"]]
        match = list(_match_words(rule["match"]))
        items.append(_rule(int(rule["cookie"], 16), rule["priority"], match, ",".join(actions) or "drop"))
    for group in switch["groups"]:
        buckets = ",".join(_bucket(b) for b in group["buckets"])
        items.append(f"group {group['id']} {group['type']}: {buckets}")
    items += [_meter(m["id"], m["rate_kbps"], m["burst_kbits"]) for m in switch["meters"]]
    return frozenset(items)


def differences(site: str, intended: Iterable[str], held: Iterable[str]) -> list[str]:
    """What the switch lacks and what it has too much, in words."""
    wanted, present = set(intended), set(held)
    return [
        *(f"the switch at {site} lacks {item}" for item in sorted(wanted - present)),
        *(
            f"the switch at {site} holds {item}, which the controller does not intend"
            for item in sorted(present - wanted)
        ),
    ]


def _rule(cookie: int, priority: int, match: Iterable[str], actions: str) -> str:
    words = ",".join(sorted(word for word in match if word))
    return f"rule cookie={cookie:#018x} priority={priority} {words or 'any'} actions={actions}"


def _meter(number: int | str, rate_kbps: int | str, burst_kbits: int | str) -> str:
    return f"meter {number}: {rate_kbps} kbit/s, burst {burst_kbits} kbit"


def _bucket(bucket: Mapping[str, Any]) -> str:
    watch = "" if bucket["watch_port"] is None else f"watch_port:{bucket['watch_port']},"
    return f"bucket={watch}actions={','.join(_action(a) for a in bucket['actions']) or 'drop'}"


def _match_words(match: Mapping[str, int | str]) -> Iterable[str]:
    left = dict(match)
    if "eth_type" in left:
        ethertype = int(left.pop("eth_type"))
        protocol = left.pop("ip_proto", None)
        yield _PROTOCOLS.get((ethertype, None if protocol is None else int(protocol)), f"dl_type={ethertype:#06x}")
    if "vlan_vid" in left:
        tag = int(left.pop("vlan_vid"))
        yield f"dl_vlan={tag & 0xFFF}" if tag & 0x1000 else _NO_TAG
    for name, value in left.items():
        yield f"{_FIELDS.get(name, name)}={value}"


def _action(text: str) -> str:
    if text == "in_port":
        return "IN_PORT"
    move = _MOVE.match(text)
    return text if move is None else f"move:{_NICIRA[move[1]]}->{_NICIRA[move[2]]}"
