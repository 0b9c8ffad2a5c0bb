"""Rules as Open vSwitch 3.1 prints them, and what the controller intends, must come to the same words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.forwarding.items import (
    SHARED_COOKIE,
    Bucket,
    Group,
    GroupType,
    Item,
    Meter,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.forwarding.rules import arp_responder, base_rules
from controller.northbound.views.network import switch_view
from scripts.experiments.chaos.rules import cookies_of, differences, held_items, intended_items

# Captured from ovs-ofctl -O OpenFlow13 --no-names (3.1.0).
FLOWS = """ cookie=0x5153000000000000, duration=3.1s, table=0, n_packets=1, n_bytes=42, priority=300,arp,in_port=1,\
vlan_tci=0x0000/0x1fff,arp_tpa=10.0.0.1,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],\
set_field:02:00:00:00:00:01->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],\
set_field:02:00:00:00:00:01->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:10.0.0.1->arp_spa,IN_PORT
 cookie=0x5153000001000000, duration=3.1s, table=0, n_packets=0, n_bytes=0, priority=200,udp,in_port=1,\
vlan_tci=0x0000/0x1fff,nw_src=172.20.0.2,nw_dst=172.20.0.3,tp_src=20003,tp_dst=20003 \
actions=meter:5,push_vlan:0x8100,set_field:4196->vlan_vid,output:2
 cookie=0x5153000001000001, duration=3.1s, table=0, n_packets=0, n_bytes=0, priority=100,in_port=2,dl_vlan=100 \
actions=pop_vlan,output:1
 cookie=0x5153000001000001, duration=3.1s, table=0, n_packets=0, n_bytes=0, priority=100,in_port=3,dl_vlan=100 \
actions=group:77
 cookie=0x5153000000000000, duration=3.1s, table=0, n_packets=0, n_bytes=0, priority=0 actions=drop
""".replace("\\\n", "")
GROUPS = """OFPST_GROUP_DESC reply (OF1.3) (xid=0x2):
 group_id=77,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=set_field:4100->vlan_vid,IN_PORT
 group_id=79,type=all,bucket=actions=set_field:4101->vlan_vid,output:2,bucket=actions=output:3
"""
METERS = """OFPST_METER_CONFIG reply (OF1.3) (xid=0x2):
meter=5 kbps burst bands=
type=drop rate=4000 burst_size=1600
"""
COOKIE = SHARED_COOKIE | 1 << 24
INGRESS: tuple[tuple[str, int | str], ...] = (
    ("eth_type", 0x0800), ("in_port", 1), ("ip_proto", 17), ("ipv4_dst", "172.20.0.3"), ("ipv4_src", "172.20.0.2"),
    ("udp_dst", 20003), ("udp_src", 20003), ("vlan_vid", 0),
)  # fmt: skip
INTO = (PushVlan(), SetField("vlan_vid", 4196), Output(2))
OUT = (Bucket((SetField("vlan_vid", 4101), Output(2))), Bucket((Output(3),)))
TURN = (Bucket((Output(2),), 2), Bucket((SetField("vlan_vid", 4100), Output(0xFFFF_FFF8)), 3))
ITEMS: tuple[Item, ...] = (
    *base_rules("s"),
    arp_responder("s", "10.0.0.1", "02:00:00:00:00:01"),
    Rule("s", 200, INGRESS, INTO, COOKIE, 5),
    Rule("s", 100, (("in_port", 2), ("vlan_vid", 4196)), (PopVlan(), Output(1)), COOKIE | 1),
    Rule("s", 100, (("in_port", 3), ("vlan_vid", 4196)), (ToGroup(77),), COOKIE | 1),
    Group("s", 77, GroupType.FAST_FAILOVER, TURN),
    Group("s", 79, GroupType.ALL, OUT),
    Meter("s", 5, 4000, 1600),
)
HELD = held_items(FLOWS, GROUPS, METERS)


def intended(items: tuple[Item, ...]) -> frozenset[str]:
    view: dict[str, Any] = switch_view(items)
    return intended_items(view)


def test_what_the_switch_prints_is_what_the_controller_intends() -> None:
    assert len(HELD) == len(ITEMS)
    assert differences("s", intended(ITEMS), HELD) == []
    assert cookies_of(FLOWS) == {SHARED_COOKIE, COOKIE, COOKIE | 1}


def changed(number: int, **change: Any) -> tuple[Item, ...]:
    return (*ITEMS[:number], replace(ITEMS[number], **change), *ITEMS[number + 1 :])


@pytest.mark.parametrize(
    "items",
    [
        changed(2, meter=6),
        changed(2, match=(*INGRESS[:-1], ("vlan_vid", 4097))),
        changed(2, actions=(PushVlan(), SetField("vlan_vid", 4197), Output(2))),
        changed(3, actions=(PopVlan(), Output(4))),
        changed(3, cookie=COOKIE | 2),
        changed(3, priority=101),
        changed(5, buckets=TURN[::-1]),
        changed(5, buckets=(replace(TURN[0], watch_port=4), TURN[1])),
        changed(6, type=GroupType.FAST_FAILOVER),
        changed(7, rate_kbps=4001),
        changed(7, burst_kbits=1),
    ],
)
def test_every_wrong_content_is_seen_on_both_sides(items: tuple[Item, ...]) -> None:
    said = differences("s", intended(items), HELD)
    assert len(said) == 2
    assert sum(" lacks " in what for what in said) == 1


def test_missing_and_excess_are_told_apart() -> None:
    assert ["lacks" in what for what in differences("s", intended(ITEMS), HELD - {next(iter(HELD))})] == [True]
    assert ["does not intend" in what for what in differences("s", intended(ITEMS[1:]), HELD)] == [True]


def test_a_meter_of_another_form_is_not_overlooked() -> None:
    strange = METERS + "meter=9 pktps bands=\ntype=drop rate=7\n"
    assert len(differences("s", intended(ITEMS), held_items(FLOWS, GROUPS, strange))) == 1
