"""What a repair and a reroute both add to a switch that has just come back is no failure, and ends as intended."""

from __future__ import annotations

import os
import subprocess
import sys

from scripts.layout import REPOSITORY

# In a process of its own: Ryu wants eventlet, and eventlet patches the whole process.
PROGRAM = """
import controller.__main__
from types import SimpleNamespace
from ryu.ofproto import ofproto_v1_3 as of13, ofproto_v1_3_parser as parser13
from controller.flows import Bucket, Group, GroupType, Meter, Output, Rule
from controller.intended import Changes
from controller.openflow import Switchboard, Transaction, messages_for
from topologies.catalog import metro_ring

switchboard = Switchboard(metro_ring())
for type_, code, fails in (
    (of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS, False),
    (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_GROUP_EXISTS, False),
    (of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_OUT_OF_METERS, True),
    (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL, True),
):
    transaction = Transaction("agg1")
    transaction.cookies[7] = None
    switchboard._by_xid["agg1", 7] = transaction
    switchboard.error("agg1", 7, type_, code)
    assert bool(transaction.faults) is fails, (type_, code)

datapath = SimpleNamespace(ofproto=of13, ofproto_parser=parser13, id=1)
added = (Rule("s", 1, (), (), 0, 5), Meter("s", 5, 1, 1), Group("s", 9, GroupType.ALL, (Bucket((Output(2),)),)))
messages = [message for message, _ in messages_for(datapath, Changes(add=added))]
meters = [m.command for m in messages if isinstance(m, parser13.OFPMeterMod)]
groups = [m.command for m in messages if isinstance(m, parser13.OFPGroupMod)]
assert meters == [of13.OFPMC_ADD, of13.OFPMC_MODIFY]
assert groups == [of13.OFPGC_ADD, of13.OFPGC_MODIFY]
assert isinstance(messages[-1], parser13.OFPFlowMod)
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
