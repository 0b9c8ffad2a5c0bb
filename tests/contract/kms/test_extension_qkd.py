"""A model of QKD sections of others' own in the real KMS: marked NOT SECURE, harmless when it is wrong."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kms.errors import ConfigError
from scripts.cli.commands.keys.keys import section_model
from scripts.testbed.paths import REPOSITORY
from tests.support.running_kms import Answer, KmsWorld, running_kms
from tests.support.wait import wait_until

MODELS = REPOSITORY / "tests" / "support" / "extensions" / "sections.py"


def of(name: str, **terms: Any) -> dict[str, Any]:
    return {"target": f"{MODELS}:{name}", "folder": str(MODELS.parent), "deadline_s": 2.0, **terms}


def section(world: KmsWorld, name: str) -> dict[str, Any]:
    shown = world.admin("GET", "/v1/keys").body["sections"]
    return next(dict(each) for each in shown if each["id"] == name)


def asked(world: KmsWorld, source: str) -> Answer:
    mandatory = {"extension_mandatory": [{"key_source": source}]}
    return world.enc("cell1", "sae-cell1", "sae-core1", number=1, **mandatory)


def test_both_ends_get_its_key_and_it_is_not_secure_unless_vouched_for(tmp_path):
    ideal = {"target": "scripts.extensions.shipped.ideal_link:IdealLink"}
    with running_kms(tmp_path / "a", qkd_extension=ideal) as world:
        wait_until(lambda: asked(world, "qkd").status == 200, 20, 0.2)
        (key,) = asked(world, "qkd").body["keys"]
        fetched = world.dec("core1", "sae-core1", "sae-cell1", key["key_ID"])
        assert fetched.body["keys"][0]["key"] == key["key"]
        shown = section(world, "s1")
        assert section_model(shown) == "bb84, qkd ideal-link 1.0, NOT SECURE"
        assert 1_500 < shown["skr_bps"] <= 2_000
        assert world.admin("POST", "/v1/sections/s1/eavesdrop", {"fraction": 1.0}).status == 200
        wait_until(lambda: section(world, "s1")["state"] == "stopped", 20)
        assert "error rate" in section(world, "s1")["stop_reason"]
    with running_kms(tmp_path / "b", qkd_extension={**ideal, "is_vouched": True, "sections": ["s1"]}) as world:
        assert section_model(section(world, "s1")) == "bb84, qkd ideal-link 1.0"
        assert section_model(section(world, "s2")) == "bb84, full"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("TwoEnded", "ends"), ("Greedy", "too-much"), ("NotANumber", "malformed"), ("WrongType", "malformed"),
        ("Mutator", "mutated"), ("Crasher", "crashed"), ("Sleepy", "late"), ("Talkative", "raised"),
    ],
)  # fmt: skip
def test_what_is_wrong_stops_its_section_and_the_others_serve_on(tmp_path, caplog, name, code):
    with (
        caplog.at_level(logging.DEBUG),
        running_kms(tmp_path, qkd_extension=of(name, sections=["s3"], deadline_s=0.3)) as world,
    ):
        wait_until(lambda: code in section(world, "s3")["refusals"], 20)
        shown = section(world, "s3")
        assert (shown["state"], shown["available_bits"]) == ("stopped", 0)
        assert "extension" in shown["stop_reason"]
        assert f'qslice_qkd_section_refusals_total{{section="s3",code="{code}"}}' in world.admin("GET", "/metrics").body
        assert asked(world, "qkd").status == 503
        assert asked(world, "dh").status == 200
        wait_until(lambda: section(world, "s1")["state"] == "active", 20)
        assert section(world, "s1")["secure"]
    assert f" 0.1: {code}: " in caplog.text
    assert "my secret" not in caplog.text


def test_one_that_is_not_there_whole_is_told_before_anything_listens(tmp_path):
    half = {"target": f"{MODELS.parent / 'half.py'}:Half"}
    with pytest.raises(ConfigError, match=r"qkd_extension.*out of luck"), running_kms(tmp_path, qkd_extension=half):
        pass
    elsewhere = of("Steady", sections=["s9"])
    with pytest.raises(ConfigError, match=r"sections\.0"), running_kms(tmp_path, qkd_extension=elsewhere):
        pass
