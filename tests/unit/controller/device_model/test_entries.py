"""A switch's rules, meters and groups as YANG entries: without loss, and read back from XML by the modules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from controller.device_model.edits import (
    DataExists,
    DataMissing,
    Edit,
    Operation,
    apply,
    config_xml,
    edits_of,
    entry_xml,
)
from controller.device_model.entries import Entry, Foreign, List, SwitchModel
from controller.forwarding.continuity_test import trial_rules
from controller.forwarding.intended import Changes
from controller.forwarding.items import Item, Rule
from controller.forwarding.rules import PortMap, base_rules
from controller.layers.device.rpc import RpcError
from controller.layers.device.schema import OURS, STANDARD, Schema
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring, ukqntel
from topologies.spec import Topology

PORTS = {f"qs-a-eth{number}": number for number in range(1, 6)}
MODEL = SwitchModel("a", PORTS)
LABELS = st.integers(1, 4094)
ADDRESSES = st.ip_addresses(v=4).map(str)
NAMES = st.sampled_from(sorted(PORTS))


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema()


def numbers(topology: Topology, site: str) -> dict[str, int]:
    return {port.interface: port.number for port in topology.ports(site)}


def installed(tmp_path: Path) -> Iterator[tuple[SwitchModel, list[Item]]]:
    """What each switch of two networks holds under slices with every class of protection."""
    ring = Bench(metro_ring(), tmp_path / "ring")
    ring.slices.create(request_for("resilient", {"backhaul": {"protection": "1+1"}}))
    papers = Bench(ukqntel(), tmp_path / "papers")
    papers.slices.create(request_for("enterprise-app", {"control": {"security": "none"}}))
    for bench in (ring, papers):
        for site in bench.topology.site_names:
            ours = [item for item in bench.model.intended.at(site) if item not in base_rules(site)]
            yield SwitchModel(site, numbers(bench.topology, site)), ours


def test_everything_that_slices_install_has_an_entry_and_comes_back(tmp_path: Path, schema: Schema) -> None:
    seen: set[List] = set()
    for model, items in installed(tmp_path):
        entries = [model.entry(item) for item in items]
        assert None not in entries
        found = [entry for entry in entries if entry is not None]
        assert model.items(found) == items
        assert len({entry.key for entry in found}) == len(items)
        schema.check(model.interfaces, found)
        edits = edits_of(model, Changes(add=tuple(items)))
        read = schema.edits(etree.fromstring(config_xml(edits)), None)
        assert [edit.operation for edit in read] == [Operation.REPLACE] * len(items)
        assert {item for edit in read for item in [model.item(edit.entry)]} == set(items)
        seen |= {entry.list for entry in found}
    assert seen == set(List)


def test_what_the_module_has_no_words_for_has_no_entry() -> None:
    topology = ukqntel()
    bench_ports = numbers(topology, "agg1")
    model = SwitchModel("agg1", bench_ports)
    trial = trial_rules(topology, PortMap.of(topology), [topology.channels[0].id])
    for item in (*base_rules("agg1"), *trial, Rule("agg1", 7, (("in_port", 1),), (), 5)):
        assert model.entry(item) is None
    with pytest.raises(Foreign):
        edits_of(model, Changes(remove=base_rules("agg1")))


@st.composite
def leaving(draw: st.DrawFn) -> dict[str, object]:
    tag = draw(st.sampled_from(["push", "swap", "pop"]))
    out = {"out-interface": draw(NAMES)} if draw(st.booleans()) else {}
    return {"tag": tag, **({} if tag == "pop" else {"out-label": draw(LABELS)}), **out}


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    policers = [
        Entry(List.POLICER, {"id": i, "rate": draw(st.integers(1, 10**6)), "burst": draw(st.integers(1, 10**6))})
        for i in range(1, draw(st.integers(2, 3)))
    ]
    groups = []
    for i in range(1, draw(st.integers(1, 3))):
        ways = []
        for index in range(draw(st.integers(1, 3))):
            watch = {"watch": draw(NAMES)} if draw(st.booleans()) else {}
            ways.append({"index": index, **watch, **draw(leaving())})
        groups.append(Entry(List.GROUP, {"id": i, "type": draw(st.sampled_from(["all", "failover"])), "way": ways}))
    how = leaving()
    if groups:
        how |= st.sampled_from([{"group": group.body["id"]} for group in groups])
    cookie = st.integers(0, 2**64 - 1).map(str)
    switched = [
        Entry(List.SWITCHED, {"interface": draw(NAMES), "label": draw(LABELS), "cookie": draw(cookie), **draw(how)})
        for _ in range(draw(st.integers(0, 4)))
    ]
    clients = [
        Entry(
            List.CLIENT,
            {
                "source": draw(ADDRESSES), "destination": draw(ADDRESSES), "udp-port": draw(st.integers(0, 65535)),
                "policer": draw(st.sampled_from(policers)).body["id"], "cookie": draw(cookie), **draw(how),
            },
        )
        for _ in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    return list({entry.key: entry for entry in [*policers, *groups, *switched, *clients]}.values())


@settings(deadline=None, max_examples=60)
@given(entries())
def test_entries_are_items_and_xml_and_back(schema: Schema, made: list[Entry]) -> None:
    try:
        again = MODEL.entries(MODEL.items(made))
    except ValueError:
        return
    for entry in again:
        assert entry in made
    config = config_xml(Edit(Operation.MERGE, entry) for entry in made)
    assert [edit.entry for edit in schema.edits(etree.fromstring(config), None)] == made
    schema.check(MODEL.interfaces, made)


def test_edits_do_what_their_operations_say() -> None:
    one, other = (Entry(List.POLICER, {"id": 1, "rate": rate, "burst": 5}) for rate in (10, 20))
    held = {one.key: one}
    assert apply({}, [Edit(Operation.CREATE, one)]) == held
    assert apply(held, [Edit(Operation.REPLACE, other)]) == {one.key: other}
    assert apply(held, [Edit(Operation.MERGE, Entry(List.POLICER, {"id": 1, "rate": 20}))]) == {one.key: other}
    assert apply(held, [Edit(Operation.DELETE, one)]) == apply({}, [Edit(Operation.REMOVE, one)]) == {}
    with pytest.raises(DataExists, match=r"policer\[id='1'\]"):
        apply(held, [Edit(Operation.CREATE, other)])
    with pytest.raises(DataMissing):
        apply({}, [Edit(Operation.DELETE, one)])


def test_merging_one_case_of_a_choice_takes_the_other_away() -> None:
    key = {"interface": "qs-a-eth1", "label": 5}
    direct = Entry(List.SWITCHED, {**key, "cookie": "1", "tag": "pop", "out-interface": "qs-a-eth2"})
    merged = apply({direct.key: direct}, [Edit(Operation.MERGE, Entry(List.SWITCHED, {**key, "group": 3}))])
    assert merged[direct.key].body == {**key, "cookie": "1", "group": 3}


SWITCHED = {"interface": "qs-a-eth1", "label": 5, "cookie": "1", "tag": "pop"}


@pytest.mark.parametrize(
    ("change", "tag"),
    [
        ({"out-interface": "qs-b-eth9"}, "data-missing"),
        ({"interface": "nowhere"}, "data-missing"),
        ({"group": 9, "tag": None}, "data-missing"),
        ({"tag": "turn"}, "invalid-value"),
        ({"label": 4095}, "invalid-value"),
        ({"colour": "red"}, "unknown-element"),
        ({"label": None}, "missing-element"),
    ],
)
def test_what_the_modules_do_not_allow_is_refused(schema: Schema, change: dict[str, object], tag: str) -> None:
    body = {name: value for name, value in {**SWITCHED, **change}.items() if value is not None}
    root = etree.Element("config")
    top = etree.SubElement(root, "{urn:qslice:yang:cross-connects}cross-connects")
    entry_xml(top, Entry(List.SWITCHED, body))
    with pytest.raises(RpcError) as caught:
        schema.check(MODEL.interfaces, [edit.entry for edit in schema.edits(root, None)])
    assert caught.value.tag == tag


def test_our_module_is_well_formed() -> None:
    """By pyang, which nobody here wrote, with the guidelines of RFC 8407."""
    tool = Path(sys.executable).with_name("pyang")
    folders = ":".join(str(folder) for folder in STANDARD)
    arguments = ["--strict", "--lint", "--max-line-length", "120", "-p", folders]
    done = subprocess.run(
        [sys.executable, str(tool), *arguments, str(OURS / "qslice-cross-connects.yang")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
