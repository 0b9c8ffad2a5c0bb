"""The operator's socket of a real KMS: its state, faults of QKD sections, metrics and the ledger."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_kms import KmsWorld, only_key
from tests.support.wait import wait_until


class TestAdmin:
    def test_the_socket_is_its_owners(self, world: KmsWorld) -> None:
        assert Path(world.config.admin_socket).stat().st_mode & 0o777 == 0o600

    def test_status_and_keys(self, world: KmsWorld) -> None:
        status = world.admin("GET", "/v1/status").body
        assert {k["site"]: k["url"] for k in status["kmes"]} == world.urls
        keys = world.admin("GET", "/v1/keys").body
        assert {s["id"] for s in keys["sections"]} == {"s1", "s2", "s3"}
        for section in keys["sections"]:
            assert {"skr_bps", "qber", "state", "available_bits", "length_km", "a", "b"} <= set(section)
        assert {link["id"] for link in keys["links"]} == {"west", "east"}
        wait_until(lambda: all(link["usable"] for link in world.admin("GET", "/v1/keys").body["links"]), 10)

    def test_parts_of_it_can_be_asked_for_by_themselves(self, world: KmsWorld) -> None:
        whole = world.admin("GET", "/v1/keys").body
        for part in whole:
            assert set(world.admin("GET", f"/v1/keys?parts={part}").body) == {part}
        two = world.admin("GET", "/v1/keys?parts=sections,links").body
        assert {s["id"] for s in two["sections"]} == {s["id"] for s in whole["sections"]}
        for unknown in ("keys", "", "sections,,links"):
            answer = world.admin("GET", f"/v1/keys?parts={unknown}")
            assert answer.status == 400
            assert "parts" in answer.body["message"]

    def test_an_eavesdropper_makes_links_unusable_until_she_leaves(self, world: KmsWorld) -> None:
        def link(name: str) -> Any:
            return next(e for e in world.admin("GET", "/v1/keys").body["links"] if e["id"] == name)

        def section() -> Any:
            return next(e for e in world.admin("GET", "/v1/keys").body["sections"] if e["id"] == "s2")

        assert world.admin("POST", "/v1/sections/s2/eavesdrop", {"fraction": 1.0}).status == 200
        wait_until(lambda: section()["state"] == "stopped", 10)
        assert section()["qber"] > 0.11
        assert (link("west")["usable"], link("west")["skr_bps"]) == (False, 0.0)
        assert link("east")["usable"]
        # A size that no pool has must be relayed now, and cannot be.
        answer = world.enc("cell1", "sae-cell1", "sae-metro1", size=128)
        assert answer.status == 503
        assert "s2" in answer.body["message"]
        assert world.admin("DELETE", "/v1/sections/s2/eavesdrop").status == 200
        wait_until(lambda: link("west")["usable"], 10)
        assert world.enc("cell1", "sae-cell1", "sae-metro1", size=128).status == 200

    def test_the_report_says_how_a_sections_key_is_made_and_who_stopped_it(self, world: KmsWorld) -> None:
        def section() -> Any:
            return next(e for e in world.admin("GET", "/v1/keys").body["sections"] if e["id"] == "s3")

        assert (section()["protocol"], section()["model"], section()["secure"]) == ("bb84", "full", True)
        assert (section()["attack"], section()["eavesdropped_fraction"]) == (None, 0.0)
        split = {"attack": "photon-number-splitting", "fraction": 1.0}
        answer = world.admin("POST", "/v1/sections/s3/eavesdrop", split)
        assert answer.status == 200
        assert answer.body["attack"] == "photon-number-splitting"
        assert world.admin("DELETE", "/v1/sections/s3/eavesdrop").body["attack"] is None
        wait_until(lambda: section()["state"] == "active" and not section()["stop_reason"], 10)

    @pytest.mark.parametrize(
        "body",
        [
            {"attack": "bribery"},
            {"attack": []},
            {"attack": None},
            {"fraction": 0},
            {"fraction": 1.5},
            {"fraction": "all"},
            {"x": 1},
            [],
            {"fraction": True},
        ],
    )
    def test_impossible_eavesdroppers(self, world: KmsWorld, body: Any) -> None:
        assert world.admin("POST", "/v1/sections/s1/eavesdrop", body).status == 400
        assert world.admin("POST", "/v1/sections/s9/eavesdrop", {}).status == 404

    def test_metrics_are_prometheus_text(self, world: KmsWorld) -> None:
        text = world.admin("GET", "/metrics").body
        samples = [line for line in text.splitlines() if not line.startswith("#")]
        assert all(len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0 for line in samples)
        assert any(line.startswith('qslice_qkd_section_qber{section="s1"}') for line in samples)
        assert any(line.startswith("qslice_kms_requests_total{") for line in samples)

    def test_the_ledger_knows_ids_and_no_keys(self, world: KmsWorld) -> None:
        key_id, key = only_key(world.enc("cell1", "sae-cell1", "sae-core1"))
        text = str(world.admin("GET", "/v1/ledger").body)
        assert key_id in text
        assert base64.b64encode(key).decode()[:12] not in text
        assert key.hex()[:12] not in text
