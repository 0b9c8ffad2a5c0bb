"""Topology files: the shipped ones are what they were, and whatever is wrong in one is told with place and remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from topologies.catalog import load
from topologies.files import (
    DocumentError,
    catalog_names,
    json_schema,
    load_topology,
    parse_document,
    parse_text,
    to_document,
    to_json,
    to_yaml,
)
from topologies.files.loading import CATALOG_FOLDER
from topologies.spec import RESERVED_NAMES, SecurityClass, TopologyError

UK_FIBRE = "fibre-adastral-cambridge"
VECTORS = Path(__file__).parents[2] / "vectors" / "topologies"
REPOSITORY = Path(__file__).parents[3]
SMALL = """\
name: small
sites:
  - {name: cell1, tier: cell}
  - {name: hub, tier: metro, vcpus: 8, memory_gb: 16}
  - {name: core1, tier: core}
fibres:
  - {a: cell1, b: hub, km: 8, channels: [none, qkd]}
  - {a: hub, b: core1, km: 20, channels: [none, dh, {class: qkd, dark: true}]}
"""


def complaint(text: str | bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_text(text, "my.yaml")
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


@pytest.mark.parametrize("name", ["ukqntel", "metro-ring"])
def test_the_shipped_files_hold_what_the_drawings_were(name: str) -> None:
    """The vectors were written by the functions that came before the files, when sections had no risk groups.

    Nor was there then the fibre that all of ukqntel depends on.
    """
    found = load(name).to_dict()
    risks = {section["id"]: section.pop("risk_groups") for section in found["sections"]}
    if name == "ukqntel":
        for channel in found["channels"]:
            channel["risk_groups"].remove(UK_FIBRE)
    assert {section.pop("restart_s") for section in found["sections"]} == {0.0}
    ports = [(w["id"], w.pop("client_gbps"), w.pop("encryptor")) for w in found["wavelengths"]]
    assert all(gbps == 10 and encryptor is (name[-4:] != "none" and name != "ch1") for name, gbps, encryptor in ports)
    assert json.dumps(found, indent=1) == (VECTORS / f"{name}.json").read_text()
    on_fibres = {q: [f"fibre-{q.removeprefix('q-')}"] for q in risks}
    assert risks == (on_fibres if name == "metro-ring" else {f"s{n}": [UK_FIBRE] for n in (1, 2, 3, 4)})


def test_every_shipped_file_is_in_the_catalogue() -> None:
    assert set(catalog_names()) >= {"ukqntel", "metro-ring"}
    for name in catalog_names():
        assert load_topology(name).name == name


def test_a_fibre_becomes_channels_that_share_its_risk_and_a_section() -> None:
    topology = parse_text(SMALL, "small")
    lit = topology.channel("cell1-hub-qkd")
    assert (lit.length_km, lit.capacity_mbps, lit.security) == (8, 100, SecurityClass.QKD)
    assert lit.risk_groups == {"cell1-hub-qkd", "fibre-cell1-hub"}
    assert topology.channel("cell1-hub-none").risk_groups == {"cell1-hub-none", "fibre-cell1-hub"}
    assert topology.channel("hub-core1-qkd").dark
    assert [(s.id, s.a, s.b, s.length_km) for s in topology.sections] == [("q-cell1-hub", "cell1", "hub", 8)]
    assert [(q.id, q.sections) for q in topology.qkd_links] == [("cell1-hub", ("q-cell1-hub",))]


def test_a_fibre_says_what_its_section_is_like_or_that_there_is_none() -> None:
    text = changed("channels: [none, qkd]", "channels: [none, qkd], qkd: {detector_efficiency: 0.3, model: rate}")
    assert parse_text(text, "x").sections[0].detector_efficiency == 0.3
    assert parse_text(changed("channels: [none, qkd]", "channels: [none, qkd], qkd: false"), "x").sections == ()
    one_more = parse_text(changed("[none, dh, {class: qkd, dark: true}]", "[none], qkd: true"), "x")
    assert [s.id for s in one_more.sections] == ["q-cell1-hub", "q-hub-core1"]


def test_what_links_and_sections_a_document_lists_are_all_there_are() -> None:
    text = (
        SMALL + "sections: [{id: s, a: cell1, b: room, km: 3}]\nqkd_links: [{id: l, a: cell1, b: hub, sections: [s]}]\n"
    )
    topology = parse_text(text, "x")
    assert [s.id for s in topology.sections] == ["s"]
    assert [q.id for q in topology.qkd_links] == ["l"]


def test_two_fibres_between_the_same_sites_have_names() -> None:
    second = "  - {a: hub, b: cell1, km: 9, channels: [none]}\n"
    assert "my.yaml:9: fibres[2]: fibres[0] joins these sites already: give the second" in complaint(SMALL + second)
    named = parse_text(SMALL + second.replace("{a:", "{name: south, a:"), "x")
    assert named.channel("south-none").risk_groups == {"south-none", "fibre-south"}


def test_scale_and_shaping_apply_to_the_real_capacities() -> None:
    text = changed("[none, qkd]", "[{class: none, capacity_gbps: 10}, qkd]")
    topology = parse_text(text, "x", 0.5, shaped=False)
    assert topology.channel("cell1-hub-none").capacity_mbps == 5
    assert topology.channel("cell1-hub-qkd").capacity_mbps == 50
    assert not topology.shaped
    assert not parse_text("shaped: false\n" + SMALL, "x").shaped


def test_places_are_computed_where_none_are_given_and_are_always_the_same() -> None:
    first, again = parse_text(SMALL, "x"), parse_text(SMALL, "x")
    assert first == again
    places = {s.name: (s.x, s.y) for s in first.sites}
    assert len(set(places.values())) == 3
    assert all(0 <= v <= 1 for place in places.values() for v in place)
    assert places["cell1"][0] < places["hub"][0] < places["core1"][0]
    given = parse_text(changed("{name: hub,", "{name: hub, x: 0.9, y: 0.1,"), "x").site("hub")
    assert (given.x, given.y) == (0.9, 0.1)


@pytest.mark.parametrize("name", ["ukqntel", "metro-ring"])
def test_the_full_form_in_yaml_and_json_is_the_same_topology(name: str) -> None:
    topology = load(name)
    document = to_document(topology)
    assert parse_document(document, name) == topology
    assert parse_text(to_yaml(document, ["two", "lines:\nof comment"]), name) == topology
    assert parse_text(to_json(document), name) == topology
    assert parse_document(yaml.safe_load(to_yaml(document)), name) == topology  # whoever reads YAML 1.1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("km: 20", "km: -1", "my.yaml:8: fibres[1].km: input should be greater than or equal to 0: not -1"),
        ("km: 20", "km: .nan", "my.yaml:8: neither YAML nor JSON: fibres.1.km: .nan is no number"),
        ("km: 20", "km: 1e999", "my.yaml:8: neither"),
        ("km: 20", "km: far", "my.yaml:8: fibres[1].km: input should be a valid number: not 'far'"),
        ("km: 20", "km: '20'", "my.yaml:8: fibres[1].km: input should be a valid number"),
        ("km: 20", "km: true", "my.yaml:8: fibres[1].km: "),
        ("km: 20, ", "", "my.yaml:8: fibres[1]: the field 'km' is missing: add it"),
        ("km: 20", "kms: 20", "my.yaml:8: fibres[1].kms: there is no such field: did you mean 'km'?"),
        ("km: 20", "km: 20, colour: red", "fibres[1].colour: there is no such field: fields here: a, b, km, channels"),
        ("name: small", "nmae: small", "my.yaml:1: nmae: there is no such field: did you mean 'name'?"),
        ("vcpus: 8", "vcpus: 8.5", "my.yaml:4: sites[1].vcpus: input should be a valid integer"),
        ("vcpus: 8", "vcpus: 8, x: 0.1", "my.yaml:4: sites[1]: x and y go together: give both"),
        ("tier: core", "tier: edge", "my.yaml:5: sites[2].tier: 'edge' is unknown: one of 'cell', 'aggregation'"),
        ("b: core1", "b: hub", "my.yaml:8: fibres[1].b: both ends are 'hub'"),
        ("b: core1", "b: croe1", "my.yaml:8: fibres[1].b: there is no site 'croe1': did you mean 'core1'?"),
        ("name: core1", "name: hub", "my.yaml:5: sites[2].name: 'hub' is the site of sites[1].name already"),
        ("name: core1", "name: München", "my.yaml:5: sites[2].name: 'München' is no name of a site: a letter from a"),
        ("name: core1", "name: 東京", "'東京' is no name of a site"),
        ("name: core1", f"name: {'a' * 25}", "is no name of a site: a letter from a to z, then at most 23 letters"),
        ("name: small", "name: Ünser Netz", "my.yaml:1: name: 'Ünser Netz' is no name: a letter or digit"),
        ("[none, qkd]", "[none, qkd, qkd]", "fibres[0].channels[2]: a channel 'cell1-hub-qkd' is there already: give"),
        ("[none, qkd]", "[none, qdk]", "fibres[0].channels[1]: 'qdk' is neither a class nor a wavelength: did you"),
        ("[none, qkd]", "[]", "my.yaml:7: fibres[0].channels: it is empty: list at least one"),
        ("[none, qkd]", "[[none]]", "fibres[0].channels[0]: a mapping of fields is expected here: not a list"),
        ("[none, qkd]", "[{dark: true}]", "fibres[0].channels[0]: it needs a class or a wavelength"),
        ("[none, qkd]", "[{class: qkd, dark: maybe}]", "fibres[0].channels[0].dark: input should be a valid boolean"),
        ("[none, qkd]", "[{class: magic}]", "fibres[0].channels[0].class: 'magic' is unknown: one of 'none', 'dh'"),
        ("[none, qkd]", "[{class: qkd, dank: true}]", "channels[0].dank: there is no such field: did you mean 'dark'?"),
        ("[none, qkd]", "qkd", "my.yaml:7: fibres[0].channels: a list is expected here: not 'qkd'"),
        ("[none, qkd]", "[qkd], qkd: {detector_efficiency: 2}", "fibres[0].qkd.detector_efficiency: input should be"),
        ("[none, qkd]", "[qkd], qkd: {detector: 2}", "fibres[0].qkd.detector: there is no such field: fields here: a"),
        ("[none, qkd]", "[qkd], qkd: {protocol: cow}", "fibres[0].qkd: protocol and model must be"),
        ("[none, qkd]", "[qkd], qkd: 5", "my.yaml:7: fibres[0].qkd: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_line_field_and_remedy(old: str, new: str, words: str) -> None:
    assert words in complaint(changed(old, new))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("qkd_links: [{id: l, a: cell1, b: hub, sections: [q-cell1-hubb]}]", "there is no section 'q-cell1-hubb': did"),
        ("qkd_links: [{id: l, a: cell1, b: hub, sections: []}]", "qkd_links[0].sections: it is empty"),
        ("sections: [{id: s, a: x, b: y, km: 1}, {id: t, a: v, b: w, km: 1}]\n"
         "qkd_links: [{id: l, a: cell1, b: hub, sections: [s, t]}]", "qkd_links[0].sections: they do not meet"),
        ("sections: [{id: s, a: x, b: x, km: 1}]", "sections[0].b: both ends are 'x'"),
        ("channels: [{id: c, a: cell1, b: hub, wavelength: w9, km: 1}]", "there is no wavelength 'w9': there are no"),
        ("wavelengths: [{id: w, class: dh, client_ports: 1}]\nchannels: [{id: c, a: cell1, b: hub, wavelength: w, "
         "km: 1}, {id: d, a: cell1, b: hub, wavelength: w, km: 1}]", "channels[1].id: wavelength w has 1 client ports"),
        ("wavelengths: [{id: w, class: dh, client_ports: 11, client_gbps: 10}]",
         "wavelengths[0].client_gbps: 11 client ports of 10 Gbit/s are more than its capacity_gbps 100: lower"),
        ("wavelengths: [{id: w, class: dh}]\nchannels: [{id: c, a: cell1, b: hub, wavelength: w, km: 1, "
         "capacity_gbps: 101}]", "channels[0].id: capacity_gbps 101 is more than its wavelength w has: 100: lower it"),
        ("wavelengths: [{id: w, class: none, encryptor: true}]", "wavelengths[0].encryptor: an encryptor needs a"),
        ("wavelengths: [{id: w, class: dh, ends: [cell1, cell1]}]", "wavelengths[0].ends: both of its cards stand at"),
        ("wavelengths: [{id: w, class: dh, ends: [cell1, nowhere]}]", "wavelengths[0].ends[1]: there is no site"),
        ("wavelengths: [{id: w, class: dh}, {id: w, class: qra}]", "wavelengths[1].id: 'w' is the wavelength of"),
        ("sites: []", "'sites' stands here a second time"),
    ],
)  # fmt: skip
def test_references_and_lists_are_checked(more: str, words: str) -> None:
    said = complaint(SMALL + more + "\n")
    assert words in said
    assert "my.yaml:" in said


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_names_of_ours_are_refused_for_sites(name: str) -> None:
    assert f"is called '{name}': choose another" in complaint(changed("name: core1", f"name: {name}"))


def test_everything_that_is_wrong_is_found_at_once() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_text(changed("b: hub", "b: hop").replace("b: core1", "b: hub").replace("name: cell1", "name: kms"), "x")
    assert [(p.line, p.place) for p in caught.value.problems] == [
        (3, "sites[0].name"), (7, "fibres[0].a"), (7, "fibres[0].b"), (8, "fibres[1].b"),
    ]  # fmt: skip
    assert str(caught.value).endswith("(and 3 more: `qslice topo validate` lists them)")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty: it begins with name: and sites:"),
        (b"- a\n", "x:1: the document is no mapping"),
        (b"name: a\nsites: [\n", "x:3: neither YAML nor JSON"),
        (b"name: \xff\n", "x:1: it is not UTF-8 text: save it in that encoding"),
        (b"name: a\n# \xe4\n", "x:2: it is not UTF-8 text"),
        (b"name: a\x00", "neither YAML nor JSON"),
        (b"\x7fELF\x02\x01\x01", "neither YAML nor JSON"),
        (b"a" * ((4 << 20) + 1), "it has more than 4 MiB"),
        (b"name: &a [*a]\n", "holds itself"),
        (b"x: " + b"[" * 100_000, "nested deeper"),
        (b"- " * 100_000, "nested deeper"),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
            b"%c: &%c [%s]\n" % (new, new, b",".join([b"*%c" % old] * 10))
            for old, new in zip(b"abcdef", b"bcdefg", strict=True)), "more than 400000 values"),
        (b"name: a\nsites: !!python/object/apply:os.system [id]\n", "is not known: leave it out"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_document_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_text(content, "x")
    assert words in str(caught.value)


def test_windows_editors_files_are_read() -> None:
    assert parse_text(SMALL.encode("utf-16"), "x") == parse_text(SMALL, "x")
    assert parse_text(("\ufeff" + SMALL.replace("\n", "\r\n")).encode(), "x") == parse_text(SMALL, "x")


def test_aliases_and_merges_may_save_writing() -> None:
    text = SMALL.replace("[none, qkd]", "&all [none, qkd]").replace("[none, dh, {class: qkd, dark: true}]", "*all")
    assert [c.id for c in parse_text(text, "x").channels_of("core1")] == ["hub-core1-none", "hub-core1-qkd"]


def test_files_are_found_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.yaml").write_text(SMALL)
    (tmp_path / "ukqntel").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    assert load_topology("my.yaml") == load_topology(tmp_path / "my.yaml")
    assert load_topology("ukqntel").name == "ukqntel"
    assert load_topology("./ukqntel").name == "small"
    with pytest.raises(TopologyError, match=r"unknown topology 'atlantis'.*metro-ring.*ukqntel"):
        load_topology("atlantis")
    with pytest.raises(TopologyError, match="cannot be read: Is a directory"):
        load_topology(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(TopologyError, match="cannot be read"):
        load_topology("loop")


def test_a_long_name_gets_an_interface_by_number() -> None:
    topology = parse_text(SMALL.replace("core1", "frankfurtammain"), "x")
    assert (topology.bridge("cell1"), topology.bridge("frankfurtammain")) == ("qs-cell1", "qs-3")
    assert [p.interface for p in topology.ports("frankfurtammain")] == ["qs-3-1", "qs-3-2", "qs-3-3", "qs-3-4"]
    assert topology.port_of("hub", "hub-frankfurtammain-dh").interface == "qs-hub-5"


def test_the_schema_is_what_editors_take() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) >= {"sites", "fibres", "channels", "wavelengths", "sections", "qkd_links"}
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["FibrePart"]["properties"]["km"]["minimum"] == 0
    editor = jsonschema_rs.validator_for(schema)
    for name in catalog_names():
        assert editor.is_valid(yaml.safe_load((CATALOG_FOLDER / f"{name}.yaml").read_text()))
        assert editor.is_valid(to_document(load(name)))
    assert editor.is_valid(yaml.safe_load(SMALL))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("km: 20", "km: -1"), ("km: 20", "colour: 20"), ("tier: core", "tier: edge"), ("[none, qkd]", "[]"),
        ("[none, qkd]", "[{class: magic}]"), ("[none, qkd]", "[qkd], qkd: {detector_efficiency: 2}"),
        ("name: core1", "name: München"),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_parser_refuses(old: str, new: str) -> None:
    complaint(changed(old, new))
    assert not jsonschema_rs.validator_for(json_schema()).is_valid(yaml.safe_load(changed(old, new)))


def test_a_document_of_ten_thousand_sites_is_read() -> None:
    sites = [{"name": f"s{n}", "tier": "metro"} for n in range(10_000)]
    fibres = [{"a": f"s{n}", "b": f"s{n + 1}", "km": 1, "channels": ["none"]} for n in range(9_999)]
    topology = parse_document({"name": "large", "sites": sites, "fibres": fibres}, "large")
    assert len(topology.channels) == 9_999


def test_the_controller_needs_nothing_of_files() -> None:
    """It is given the topology in plain values; the parser of files would only slow its start."""
    code = "import topologies.spec, sys; assert not {'yaml', 'pydantic', 'topologies.files'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
