"""A vendor's KME in a topology file: read, written, told with line and remedy what is wrong; never a secret."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from topologies.files import (
    DocumentError,
    json_schema,
    load_topology,
    parse_document,
    parse_text,
    to_document,
    to_json,
    to_yaml,
)
from topologies.files.remarks import remarks
from topologies.spec import TopologyError, VendorKme, topology_from_dict

TEXT = """\
name: joined
sites:
  - {name: cell1, tier: cell, kme: {url: "https://kme-a.vendor.example", ca: v/ca.pem, cert: v/a.pem, key: /k/a.key,
                                  qkd_with: [hub]}}
  - name: hub
    tier: metro
    kme: {url: "https://10.9.0.2:4443", ca: v/ca.pem, cert: v/b.pem, key: v/b.key, sae: SAE 7, qkd_with: [cell1]}
  - {name: core1, tier: core}
fibres:
  - {a: cell1, b: hub, km: 8, channels: [none, qkd], qkd: false}
  - {a: hub, b: core1, km: 20, channels: [none, qkd]}
"""


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def complaint(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_text(text, "my.yaml")
    return str(caught.value)


def test_what_the_operator_says_of_a_vendor_is_in_the_topology() -> None:
    topology = parse_text(TEXT, "my.yaml")
    kme = VendorKme("https://10.9.0.2:4443", "v/ca.pem", "v/b.pem", "v/b.key", "SAE 7", ("cell1",))
    assert topology.site("hub").kme == kme
    assert kme.address == ("10.9.0.2", 4443)
    assert topology.vendor_link("hub", "cell1") == topology.vendor_link("cell1", "hub") == "vendor:cell1-hub"
    assert topology.vendor_link("hub", "core1") is None
    assert topology.is_vendors_pair("hub", "core1")
    assert not topology.is_vendors_pair("core1", "core1")
    assert remarks(topology) == ("no site has vcpus and memory_gb: slices find no compute",)


def test_it_is_the_same_in_every_form() -> None:
    topology = parse_text(TEXT, "my.yaml")
    document = to_document(topology)
    jsonschema_rs.validator_for(json_schema()).validate(document)
    jsonschema_rs.validator_for(json_schema()).validate(yaml.safe_load(TEXT))
    for again in (
        parse_document(document, "x"),
        parse_text(to_yaml(document), "x"),
        parse_text(to_json(document), "x"),
    ):
        assert to_document(again) == document
        assert again.sites == topology.sites
    assert topology_from_dict(topology.to_dict()) == topology


def test_files_are_found_from_the_topologys_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "net.yaml").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    kme = load_topology("there/net.yaml").site("cell1").kme
    assert kme is not None
    assert (kme.ca, kme.cert, kme.key) == (f"{tmp_path}/there/v/ca.pem", f"{tmp_path}/there/v/a.pem", "/k/a.key")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://kme-a.vendor.example", "http://kme-a", "my.yaml:3: sites[0].kme.url: 'http://kme-a' is no https"),
        ("https://kme-a.vendor.example", "https://u:secret@h", "my.yaml:3: sites[0].kme.url: no user and no password"),
        ("https://10.9.0.2:4443", "https://h:99999", "my.yaml:7: sites[1].kme.url: no URL"),
        ("https://10.9.0.2:4443", "https://h/?a=1", "my.yaml:7: sites[1].kme.url: 'https://h/?a=1' is no https"),
        ("/k/a.key", '"-----BEGIN PRIVATE KEY-----secret"', "my.yaml:3: sites[0].kme.key: the path of a file belongs"),
        ("/k/a.key", '""', "my.yaml:3: sites[0].kme.key: string should have at least 1"),
        (", key: /k/a.key", "", "my.yaml:3: sites[0].kme: the field 'key' is missing"),
        ("key: v/b.key", "key: v/b.key, password: secret", "my.yaml:7: sites[1].kme.password: there is no such field"),
        ("[hub]", "[hubb]", "my.yaml:4: sites[0].kme.qkd_with[0]: there is no site 'hubb': did you mean 'hub'?"),
        ("[hub]", "[cell1]", "my.yaml:4: sites[0].kme.qkd_with[0]: it is the site itself"),
        ("[hub]", "[hub, hub]", "my.yaml:4: sites[0].kme.qkd_with[1]: 'hub' is named twice"),
        ("[hub]", "[hub, core1]", "my.yaml:4: sites[0].kme.qkd_with[1]: site core1 has no `kme`"),
        ("[cell1]", "[]", "my.yaml:4: sites[0].kme.qkd_with[0]: site hub does not say so of cell1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, said: str) -> None:
    told = complaint(changed(old, new))
    assert told.startswith(said), told
    assert "secret" not in told


def test_one_that_names_nobody_is_remarked() -> None:
    found = remarks(parse_text(changed("[hub]", "[]").replace("[cell1]", "[]"), "my.yaml"))
    assert "no connection there is given keys of QKD, as their kme names no site in qkd_with: cell1, hub" in found
    assert any(remark.startswith("no QKD link brings keys to both ends of: cell1-hub-qkd") for remark in found)


def test_a_topology_that_contradicts_itself_is_refused_wherever_it_comes_from() -> None:
    raw = parse_text(TEXT, "my.yaml").to_dict()
    raw["sites"][1]["kme"]["qkd_with"] = []
    with pytest.raises(TopologyError, match="site cell1: its kme is said to serve QKD with 'hub', which does not say"):
        topology_from_dict(raw)
