"""The KME of one site stopped while the others serve: refused there, served elsewhere, and as it was afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.running_kms import running_kms


def test_one_kme_stops_and_comes_back_with_the_keys_that_wait_there(tmp_path: Path) -> None:
    with running_kms(tmp_path) as world:
        url = world.urls["metro1"]
        made = world.enc("cell1", "sae-cell1", "sae-metro1", extension_mandatory=[{"key_source": "dh"}])
        assert made.status == 200
        stopped = world.admin("DELETE", "/v1/kmes/metro1/listener")
        assert (stopped.status, stopped.body["changed"]) == (200, True)
        assert world.admin("DELETE", "/v1/kmes/metro1/listener").body["changed"] is False
        (key,) = made.body["keys"]
        with pytest.raises(ConnectionError):
            world.dec("metro1", "sae-metro1", "sae-cell1", key["key_ID"])
        assert world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=[{"key_source": "dh"}]).status == 200
        listening = {kme["site"]: kme["listening"] for kme in world.admin("GET", "/v1/status").body["kmes"]}
        assert listening == {"cell1": True, "metro1": False, "core1": True}
        assert world.admin("POST", "/v1/kmes/metro1/listener").body["changed"] is True
        assert world.admin("POST", "/v1/kmes/metro1/listener").body["changed"] is False
        assert world.urls["metro1"] == url
        fetched = world.dec("metro1", "sae-metro1", "sae-cell1", key["key_ID"])
        assert (fetched.status, fetched.body["keys"][0]["key"]) == (200, key["key"])


def test_a_site_that_has_no_kme_is_named(tmp_path: Path) -> None:
    with running_kms(tmp_path) as world:
        for verb in ("DELETE", "POST"):
            answer = world.admin(verb, "/v1/kmes/nowhere/listener")
            assert (answer.status, "nowhere" in answer.body["message"]) == (404, True)
