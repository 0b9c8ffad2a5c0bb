"""What a repair and a reroute both add to a switch that has just come back is no failure, and ends as intended."""

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
from controller.forwarding.items import Bucket, Group, GroupType, Meter, Output, Rule
from controller.forwarding.intended import Changes
from controller.southbound.openflow import Switchboard
from topologies.catalog import metro_ring

class Datapath(SimpleNamespace):
    def set_xid(self, message):
        self.xid += 1
        message.set_xid(self.xid)

    def send(self, octets):
        self.sent.append(octets)
        return True

def commands(octets):
    "Type and command of each message (OpenFlow 1.3.5, 7.1, 7.3.4)."
    while octets:
        kind, length = octets[1], int.from_bytes(octets[2:4], "big")
        yield kind, int.from_bytes(octets[8:10], "big") if length > 8 else None
        octets = octets[length:]

METER, GROUP, RULE, BARRIER = of13.OFPT_METER_MOD, of13.OFPT_GROUP_MOD, of13.OFPT_FLOW_MOD, of13.OFPT_BARRIER_REQUEST
ADDED = (
    Meter("agg1", 5, 1, 1), Group("agg1", 9, GroupType.ALL, (Bucket((Output(2),)),)), Rule("agg1", 1, (), (), 0, 5),
)

def sent():
    switchboard = Switchboard(metro_ring())
    datapath = Datapath(ofproto=of13, ofproto_parser=parser13, id=1, xid=0, sent=[])
    switchboard.connect("agg1", datapath)
    switchboard.set_ready("agg1")
    pending = switchboard.send({"agg1": Changes(add=ADDED)})
    kinds = [kind for kind, _ in commands(datapath.sent[0])]
    assert kinds == [METER, GROUP, RULE, BARRIER], kinds
    assert [c for k, c in commands(datapath.sent[0]) if k in (METER, GROUP)] == [0, 0], "nothing but adding"
    return switchboard, datapath, pending

# Both are there: both are modified, and nobody goes on before that is confirmed.
switchboard, datapath, pending = sent()
switchboard.error("agg1", 1, of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS)
switchboard.error("agg1", 2, of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_GROUP_EXISTS)
switchboard.barrier_reply("agg1", 4)
again = [list(commands(octets)) for octets in datapath.sent[1:]]
assert again == [[(METER, 1), (BARRIER, None)], [(GROUP, 1), (BARRIER, None)]], again
assert pending.wait(0.0), "not confirmed yet"

switchboard, datapath, pending = sent()
switchboard.error("agg1", 1, of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS)
for xid in (4, 6):
    switchboard.barrier_reply("agg1", xid)
assert pending.wait(1.0) == ()

# What cannot be modified either is a failure, and so is everything else; nothing is sent for ever.
switchboard, datapath, pending = sent()
switchboard.error("agg1", 1, of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS)
switchboard.error("agg1", 5, of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS)
for xid in (4, 6):
    switchboard.barrier_reply("agg1", xid)
assert len(pending.wait(1.0)) == 1 and len(datapath.sent) == 2

for xid, type_, code in (
    (1, of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_OUT_OF_METERS),
    (2, of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_OUT_OF_GROUPS),
    (3, of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL),
):
    switchboard, datapath, pending = sent()
    switchboard.error("agg1", xid, type_, code)
    switchboard.barrier_reply("agg1", 4)
    faults = pending.wait(1.0)
    assert [f.cookie for f in faults] == [ADDED[2].cookie if xid == 3 else None] and len(datapath.sent) == 1, faults
print("fine")
"""


def test_what_is_there_already_is_modified_and_no_failure() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout.split()[-1:] == ["fine"], done.stderr
