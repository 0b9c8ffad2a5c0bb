"""A key source of others' own in the real KMS: at the level of the operator's choice, harmless when it is wrong."""

from __future__ import annotations

import json
import logging

import pytest

from kms.errors import ConfigError
from scripts.conformance.suite import check_extension
from scripts.extensions.naming import parse_use
from scripts.testbed.paths import REPOSITORY
from tests.support.running_kms import Answer, KmsWorld, kms_config, running_kms
from tests.support.wait import wait_until

SOURCES = REPOSITORY / "tests" / "support" / "extensions" / "sources.py"


def of(name: str, level: str = "qra", deadline_s: float = 2.0) -> dict[str, object]:
    return {"target": f"{SOURCES}:{name}", "folder": str(SOURCES.parent), "level": level, "deadline_s": deadline_s}


def asked(world: KmsWorld, source: str) -> Answer:
    mandatory = {"extension_mandatory": [{"key_source": source}]}
    return world.enc("cell1", "sae-cell1", "sae-core1", number=1, **mandatory)


@pytest.mark.parametrize("level", ["dh", "qra"])
def test_both_ends_get_its_keys_at_the_level_that_the_operator_says(tmp_path, level):
    """It says of itself that it is QKD."""
    with running_kms(tmp_path, source_extension=of("Curve", level)) as world:
        made = asked(world, level)
        assert made.status == 200, made.body
        (key,) = made.body["keys"]
        assert key["key_extension"]["key_source"] == level
        fetched = world.dec("core1", "sae-core1", "sae-cell1", key["key_ID"])
        assert fetched.body["keys"][0]["key"] == key["key"]
        algorithms = world.admin("GET", "/v1/status").body["algorithms"]
        assert algorithms[level] == "extension curve 0.1"
        assert algorithms["qkd"] != "extension curve 0.1"


@pytest.mark.parametrize(
    ("name", "says"), [("TwoFaced", ""), ("Short", "octets"), ("Sleepy", "late"), ("Talkative", "")]
)
def test_what_is_wrong_gives_no_key_and_the_other_sources_serve_on(tmp_path, caplog, name, says):
    with (
        caplog.at_level(logging.DEBUG),
        running_kms(tmp_path, source_extension=of(name, deadline_s=0.2)) as world,
    ):
        refused = asked(world, "qra")
        assert refused.status == 503, refused.body
        wait_until(lambda: asked(world, "dh").status == 200, 20, 0.2)
    assert "my secret" not in caplog.text


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    """Two of our own KMEs play the vendor's."""
    with running_kms(tmp_path / "vendor") as world:
        ends = {}
        for end, site in (("master", "cell1"), ("slave", "core1")):
            folder = world.credentials(f"sae-{site}")
            ends[end] = {
                "url": world.urls[site], "sae": f"sae-{site}", "cert": str(folder / "cert.pem"),
                "key": str(folder / "key.pem"), "ca": str(folder / "ca.pem"),
            }  # fmt: skip
        file = tmp_path / "upstream.json"
        file.write_text(json.dumps(ends))
        monkeypatch.setenv("QSLICE_UPSTREAM", str(file))
        yield world


def test_keys_of_a_vendors_kmes_come_through_at_the_operators_level(tmp_path, vendor):
    upstream = {
        "target": "scripts.extensions.shipped.etsi014_upstream:Etsi014Upstream",
        "level": "qra",
        "deadline_s": 20.0,
    }
    with running_kms(tmp_path / "ours", source_extension=upstream) as world:
        made = asked(world, "qra")
        assert made.status == 200, made.body
        (key,) = made.body["keys"]
        fetched = world.dec("core1", "sae-core1", "sae-cell1", key["key_ID"])
        assert fetched.body["keys"][0]["key"] == key["key"]
        assert world.admin("GET", "/v1/status").body["algorithms"]["qra"] == "extension etsi014-upstream 1.0"


def test_it_passes_the_suite_where_there_is_a_vendor(vendor):
    report = check_extension(parse_use("source=etsi014-upstream", REPOSITORY), deadline_s=10.0)
    assert [check for check in report.checks if not check.ok] == []


def test_a_vendor_that_is_gone_gives_no_keys_and_the_other_sources_serve_on(tmp_path, monkeypatch):
    monkeypatch.setenv("QSLICE_UPSTREAM", str(tmp_path / "nowhere.json"))
    upstream = {
        "target": "scripts.extensions.shipped.etsi014_upstream:Etsi014Upstream",
        "level": "qra",
        "deadline_s": 20.0,
    }
    with running_kms(tmp_path, source_extension=upstream) as world:
        assert asked(world, "qra").status == 503
        assert asked(world, "dh").status == 200


def test_one_that_is_not_there_is_told_before_anything_listens(tmp_path):
    with pytest.raises(ConfigError, match="source_extension"), running_kms(tmp_path, source_extension=of("Nobody")):
        pass


def test_no_other_level_can_be_given(tmp_path):
    with pytest.raises(ConfigError, match="level"), running_kms(tmp_path, source_extension=of("Curve", "qkd")):
        pass
    assert kms_config(tmp_path)["sites"]
