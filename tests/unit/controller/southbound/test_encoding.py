"""Messages to switches: encoded our way they are, octet for octet, what Ryu's own classes make of the same rules."""

from __future__ import annotations

import os
import subprocess
import sys

from scripts.testbed.paths import REPOSITORY

# In a process of its own: Ryu wants eventlet, and eventlet patches the whole process.
PROGRAM = """
import controller.__main__
from types import SimpleNamespace
from ryu.ofproto import ofproto_v1_3 as of13, ofproto_v1_3_parser as parser13
from controller.forwarding.items import Group, Rule
from controller.forwarding.intended import Changes
from controller.southbound.openflow_codec import GROUP_TYPES, _action, messages_for
from controller.state.network_state import NetworkState
from tests.support.controller_bench import request_for
from topologies.catalog import metro_ring

datapath = SimpleNamespace(ofproto=of13, ofproto_parser=parser13, id=1)
ALL = (1 << 64) - 1


def encode(message):
    message.xid = 7
    message.serialize()
    return bytes(message.buf)


def plain(rule, deleting):
    match = parser13.OFPMatch(**dict(rule.match))
    if deleting:
        return parser13.OFPFlowMod(
            datapath, cookie=rule.cookie, cookie_mask=ALL, command=of13.OFPFC_DELETE_STRICT, priority=rule.priority,
            out_port=of13.OFPP_ANY, out_group=of13.OFPG_ANY, match=match)
    instructions = []
    if rule.meter is not None:
        instructions.append(parser13.OFPInstructionMeter(rule.meter, of13.OFPIT_METER))
    if rule.actions:
        applied = [_action(action) for action in rule.actions]
        instructions.append(parser13.OFPInstructionActions(of13.OFPIT_APPLY_ACTIONS, applied))
    return parser13.OFPFlowMod(
        datapath, cookie=rule.cookie, command=of13.OFPFC_ADD, priority=rule.priority, match=match,
        instructions=instructions)


def plain_group(group, command):
    buckets = [
        parser13.OFPBucket(
            watch_port=of13.OFPP_ANY if bucket.watch_port is None else bucket.watch_port,
            watch_group=of13.OFPG_ANY, actions=[_action(action) for action in bucket.actions])
        for bucket in (group.buckets if command != of13.OFPGC_DELETE else ())
    ]
    return parser13.OFPGroupMod(datapath, command, GROUP_TYPES[group.type], group.id, buckets)


model = NetworkState(metro_ring())
for section in model.topology.sections:
    model.network.set_section(section.id, 10**9, True)
for name in ("enterprise-app-protected", "cdn-protected"):
    record = model.reserve(model.plan(request_for(name)), 0.0)
    model.install_transit(record.connection_ids)
    model.switch_ingress(record.connection_ids)
compared = groups = 0
for site in model.topology.site_names:
    for rule in model.intended.at(site):
        if not isinstance(rule, Rule):
            continue
        for deleting in (False, True):
            changes = Changes(remove=(rule,)) if deleting else Changes(add=(rule,))
            (message, cookie), = messages_for(datapath, changes)
            assert cookie == rule.cookie
            ours, theirs = encode(message), encode(plain(rule, deleting))
            assert ours == theirs, (rule, ours.hex(), theirs.hex())
            assert encode(message) == ours, "sent twice, it is the same"
            compared += 1
    for group in (item for item in model.intended.at(site) if isinstance(item, Group)):
        for command, changes in (
            (of13.OFPGC_ADD, Changes(add=(group,))),
            (of13.OFPGC_MODIFY, Changes(replace=(group,))),
            (of13.OFPGC_DELETE, Changes(remove=(group,))),
        ):
            (message, _), = messages_for(datapath, changes)
            assert encode(message) == encode(plain_group(group, command)), (group, command)
            groups += 1
            # A group that is there already is modified instead, by the same message.
            message.command = of13.OFPGC_MODIFY
            assert encode(message) == encode(plain_group(group, of13.OFPGC_MODIFY)), (group, command)
print(compared, groups)
"""


def test_rules_and_groups_are_encoded_as_ryu_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rules, groups = map(int, done.stdout.split())
    assert rules > 100
    assert groups > 5
