"""The configuration file: every mistake is refused by the path of the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kms.config import load_config, parse_config
from kms.errors import ConfigError
from tests.support.running_kms import LINKS, SECTIONS, kms_config
from topologies.catalog import CATALOG


def parse(**overrides: Any) -> Any:
    return parse_config(json.dumps(kms_config(Path("/nowhere"), **overrides)))


def site(**fields: Any) -> dict[str, Any]:
    return {"site": "cell1", "kme_id": "kme-cell1", "host": "127.0.0.1", "port": 1, **fields}


def test_the_catalogued_topologies_sections_and_links_are_accepted() -> None:
    for make in CATALOG.values():
        topology = make(1.0)
        raw = topology.to_dict()
        sites = [site(site=s, kme_id=f"kme-{s}", port=n) for n, s in enumerate(topology.site_names, start=1)]
        config = parse(sites=sites, sections=raw["sections"], qkd_links=raw["qkd_links"])
        assert [s.id for s in config.sections] == [s.id for s in topology.sections]


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"surprise": 1}, "surprise"),
        ({"sites": []}, "sites"),
        ({"sites": [site(colour="red")]}, "sites.0.colour"),
        ({"sites": [site(port="8443")]}, "sites.0.port"),
        ({"sites": [site(port=70_000)]}, "sites.0.port"),
        ({"sites": [site(site="../x")]}, "sites.0.site"),
        ({"sites": [site(sae_ids=["../x"])]}, "sites.0.sae_ids.0"),
        ({"sites": [site(), site()]}, "sites.site"),
        ({"sites": [site(), site(site="b", kme_id="b")]}, "sites.host and port"),
        ({"sites": [site(sae_ids=["s", "s"])]}, "sites.sae_ids"),
        ({"sections": [{**SECTIONS[0], "length_km": -1.0}]}, "sections.0: length_km"),
        ({"sections": [{**SECTIONS[0], "detector_efficiency": 1.5}]}, "sections.0: detector_efficiency"),
        ({"sections": [{**SECTIONS[0], "dead_time_us": -1.0}]}, "sections.0: dead_time_us"),
        ({"sections": [{**SECTIONS[0], "abort_qber": 0.3}]}, "sections.0: abort_qber"),
        ({"sections": [{**SECTIONS[0], "model": "half"}]}, "sections.0.model"),
        ({"sections": [{**SECTIONS[0], "protocol": "cow"}]}, "sections.0.model: cow"),
        ({"sections": [{**SECTIONS[0], "b": SECTIONS[0]["a"]}]}, "sections.0.b"),
        ({"sections": [SECTIONS[0], SECTIONS[0]]}, "sections.id"),
        ({"qkd_links": [{**LINKS[0], "a": "mars"}]}, "qkd_links.0.a"),
        ({"qkd_links": [{**LINKS[0], "sections": ["s9"]}]}, "qkd_links.0.sections.0"),
        ({"qkd_links": [{**LINKS[0], "sections": ["s1", "s3"]}]}, "qkd_links.0.sections"),
        ({"qkd_links": [{**LINKS[0], "sections": []}]}, "qkd_links.0.sections"),
        ({"dh_group": "modp1"}, "dh_group"),
        ({"default_key_source": "rsa"}, "default_key_source"),
        ({"pairs": [{"a": "cell1", "b": "mars", "key_source": "dh"}]}, "pairs.0.b"),
        ({"pairs": [{"a": "cell1", "b": "cell1", "key_source": "dh"}]}, "pairs.0.b"),
        ({"limits": {"key_size": 100}}, "limits.key_size"),
        ({"limits": {"key_size": 2048}}, "limits.key_size"),
        ({"limits": {"pool_target": 500}}, "limits.pool_target"),
        ({"qkd": {"prefill_s": -1.0}}, "qkd.prefill_s"),
    ],
)
def test_a_mistake_is_named_by_its_path(overrides: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(**overrides)
    assert str(caught.value).startswith(path)


def test_sections_that_turn_back_do_not_make_a_link() -> None:
    star = [{**SECTIONS[0], "id": n, "a": "hub", "b": n} for n in ("x", "y", "z")]
    parse(sections=star, qkd_links=[{**LINKS[0], "sections": ["x", "y"]}])
    with pytest.raises(ConfigError, match=r"qkd_links\.0\.sections"):
        parse(sections=star, qkd_links=[{**LINKS[0], "sections": ["x", "y", "z"]}])


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json"):
        load_config(tmp_path / "none.json")


def test_fault_03_what_one_sae_may_take_is_limited_unless_it_is_said_otherwise() -> None:
    assert parse().quota.bits_per_s
    assert parse().quota.requests_per_s
    assert parse(quota={}).quota.bits_per_s is None
    limits = parse().limits.limits()
    assert limits.awaiting_share_of_pair < limits.awaiting_share_of_sae < 1 - limits.awaiting_share_booked


@pytest.mark.parametrize("field", ["awaiting_share_of_sae", "awaiting_share_of_pair", "awaiting_share_booked"])
@pytest.mark.parametrize("share", [-0.1, 1.1, "0.5", None])
def test_fault_03_a_share_is_a_part(field: str, share: object) -> None:
    with pytest.raises(ConfigError, match=f"limits.{field}"):
        parse(limits={field: share})
