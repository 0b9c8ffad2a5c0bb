"""What is asked of Open vSwitch, against answers as `ovs-vsctl --format=json` 3.1 writes them."""

from __future__ import annotations

import json

import pytest

from scripts.testbed.life import openvswitch
from topologies.spec import DATAPATH_MARK

ANSWER = """\
{"data":[["qs-cell1",["uuid","aa"]],["qs-core1",["set",[["uuid","bb"],["uuid","cc"]]]],["qs-agg1",["set",[]]],\
["another",["uuid","dd"]]],"headings":["name","controller"]}
{"data":[[["uuid","cc"],"tcp:10.0.0.1:06653"],[["uuid","aa"],"ssl:127.0.0.1:6653"],[["uuid","bb"],"ssl:[::1]:6653"],\
[["uuid","dd"],"tcp:127.0.0.1:1"]],"headings":["_uuid","target"]}
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def vsctl(*arguments: str) -> str:
        calls.append(arguments)
        return ANSWER if "list" in arguments else ""

    monkeypatch.setattr(openvswitch, "vsctl", vsctl)
    return calls


def test_switches_are_called_by_writing_their_controllers_otherwise(asked: list[tuple[str, ...]]) -> None:
    openvswitch.reconnect(["qs-cell1", "qs-core1", "qs-agg1", "gone"])
    assert len(asked) == 2
    commands = " ".join(asked[1]).split(" -- ")
    assert commands[0] == "--no-wait"
    assert sorted(commands[1:]) == [
        'set controller aa target="ssl:127.0.0.1:06653"',
        'set controller bb target="ssl:[::1]:06653"',
        'set controller cc target="tcp:10.0.0.1:6653"',
    ]


def test_who_has_no_controller_is_left_alone(asked: list[tuple[str, ...]]) -> None:
    openvswitch.reconnect(["qs-agg1", "gone"])
    assert len(asked) == 1


def test_of_bridges_with_any_datapath_id_those_with_our_mark_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = f"{DATAPATH_MARK | 7:016x}"
    of_bridges = {"ours": ours, "plain": None, "others": "0000000000000007", "named": "no number"}
    rows = [[name, ["map", [] if given is None else [["datapath-id", given]]]] for name, given in of_bridges.items()]

    def vsctl(*arguments: str) -> str:
        if "list-ports" in arguments:
            return f"{arguments[-1]}-1\n{arguments[-1]}-2\n"
        return json.dumps({"headings": ["name", "other_config"], "data": rows})

    monkeypatch.setattr(openvswitch, "vsctl", vsctl)
    assert openvswitch.marked_bridges() == {"ours": ("ours-1", "ours-2")}
