"""Interfaces of the machine in a topology: which channel uses them, in every form, and what is wrong with its line."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from topologies import attachments
from topologies.attachments import REMEMBERED, Attached, InUse
from topologies.files import DocumentError, json_schema, parse_document, parse_text, to_document, to_json, to_yaml
from topologies.spec import Topology, TopologyError, topology_from_dict

TEXT = """\
name: joined
sites:
  - {name: west, tier: cell, attach: eth1}
  - {name: east, tier: metro, attach: tap-vm.7}
  - {name: core1, tier: core}
fibres:
  - {a: west, b: east, km: 8, channels: [none, dh]}
  - {name: vendors, a: west, b: east, km: 30, channels: [qkd], attached: true}
  - {a: east, b: core1, km: 20, channels: [none, qkd]}
"""


def parsed(text: str = TEXT) -> Topology:
    return parse_text(text, "my.yaml")


def test_the_attached_channel_has_the_machines_interfaces_for_ports() -> None:
    topology = parsed()
    assert topology.channel("vendors-qkd").attached
    assert topology.port_of("west", "vendors-qkd").interface == "eth1"
    assert topology.port_of("east", "vendors-qkd").interface == "tap-vm.7"
    assert [p.interface for p in topology.ports("west")] == ["qs-west-1", "qs-west-2", "qs-west-3", "eth1"]
    assert [p.interface for p in topology.made_ports("west")] == ["qs-west-1", "qs-west-2", "qs-west-3"]
    assert topology.attached_interfaces == ("eth1", "tap-vm.7")
    assert topology.bridge("west") == "qs-west"
    # What is in between is not ours, QKD least of all.
    assert [s.id for s in topology.sections] == ["q-east-core1"]


def test_it_is_the_same_in_every_form() -> None:
    document = to_document(parsed())
    jsonschema_rs.validator_for(json_schema()).validate(document)
    for again in (
        parse_document(document, "x"),
        parse_text(to_yaml(document), "x"),
        parse_text(to_json(document), "x"),
    ):
        assert to_document(again) == document
        assert again.channels == parse_document(document, "x").channels
    assert topology_from_dict(parsed().to_dict()) == parsed()


def test_the_command_line_may_name_others() -> None:
    topology = parsed().with_attached({"west": "eno2"})
    assert topology.attached_interfaces == ("eno2", "tap-vm.7")
    for wrong, reason in (
        ({"north": "eth9"}, "there is no site 'north'; there are west, east, core1"),
        ({"core1": "eth9"}, "site core1: no channel is attached that would use eth9"),
        ({"west": "tap-vm.7"}, "attached interface 'tap-vm.7' is named twice"),
        ({"west": "a b"}, "'a b' is no interface to attach"),
    ):
        with pytest.raises(TopologyError, match=reason):
            parsed().with_attached(wrong)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", attach: eth1", "", "my.yaml:8: fibres[1].attached: no interface is attached at west: give the site west"),
        ("eth1", "qs-west-1", "my.yaml:3: sites[0].attach: 'qs-west-1' is no interface to attach"),
        ("eth1", "lo", "my.yaml:3: sites[0].attach: 'lo' is no interface to attach"),
        ("eth1", "a/b", "my.yaml:3: sites[0].attach: 'a/b' is no interface to attach"),
        ("eth1", "'; rm -rf'", "my.yaml:3: sites[0].attach: '; rm -rf' is no interface to attach"),
        ("eth1", "abcdefghijklmnop", "my.yaml:3: sites[0].attach: 'abcdefghijklmnop' is no interface to attach"),
        ("eth1", '""', "my.yaml:3: sites[0].attach: string should have at least 1"),
        ("eth1", "tap-vm.7", "my.yaml:4: sites[1].attach: tap-vm.7 is attached at west already"),
        ("tier: core}", "tier: core, attach: eth2}", "my.yaml:5: sites[2].attach: no fibre or channel uses eth2"),
        ("[qkd], att", "[qkd, dh], att", "my.yaml:8: fibres[1].channels[1]: an attached fibre has one channel"),
        (
            "[qkd], att",
            "[{class: qkd, dark: true}], att",
            "my.yaml:8: fibres[1].channels[0]: an attached channel cannot",
        ),
        (
            "channels: [none, dh]}",
            "channels: [none], attached: true}",
            "my.yaml:8: fibres[1].attached: eth1 at west has",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(DocumentError) as caught:
        parsed(TEXT.replace(old, new, 1))
    assert str(caught.value).startswith(said)


class OfTwoVersions:
    """Open vSwitch's database with an interface that this version attached, and one of another version's."""

    def __enter__(self) -> OfTwoVersions:
        return self

    def __exit__(self, *_: object) -> None: ...

    def transact(self, _: list[Any]) -> list[Any]:
        texts = {"eth1": Attached("eth1", 1500, True, None).to_text(), "eth2": '{"name": "eth2", "speed": 9}'}
        rows = [{"name": name, "external_ids": ["map", [[REMEMBERED, text]]]} for name, text in texts.items()]
        return [{"rows": [*rows, {"name": "qs-a-1", "external_ids": ["map", []]}]}]


def test_what_another_version_remembered_keeps_nothing_else_from_being_restored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(attachments, "Database", OfTwoVersions)
    assert attachments.remembered() == {"eth1": Attached("eth1", 1500, True, None)}
    assert "eth2 is not restored" in caplog.text


def test_an_interface_of_which_tc_says_nothing_is_not_taken_for_unused() -> None:
    with pytest.raises(InUse, match="what shapes nosuch0 cannot be read"):
        attachments._qdisc("nosuch0")
