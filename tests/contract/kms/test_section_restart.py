"""A section whose devices take long to start again (paper 002, section 2), in the real KMS: no key for that time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.support.running_kms import SECTIONS, KmsWorld, running_kms
from tests.support.wait import wait_until

RESTART_S = 2.0


def section(world: KmsWorld) -> dict[str, Any]:
    return next(s for s in world.admin("GET", "/v1/keys").body["sections"] if s["id"] == "s3")


def test_after_a_cut_and_after_an_eavesdropper_no_key_is_made_until_the_devices_are_back(tmp_path: Path) -> None:
    slow = [{**s, "restart_s": RESTART_S} if s["id"] == "s3" else s for s in SECTIONS]
    with running_kms(tmp_path, sections=slow) as world:
        wait_until(lambda: section(world)["state"] == "active", 20)
        assert section(world)["restart_s"] == RESTART_S

        def is_out_for_its_time() -> None:
            wait_until(lambda: section(world)["state"] == "restarting", 10)
            since = time.monotonic()
            shown = section(world)
            assert (shown["skr_bps"], shown["available_bits"]) == (0, 0)
            assert "starting again" in shown["stop_reason"]
            answer = world.enc("metro1", "sae-metro1", "sae-core1", size=128)  # of no pool: it must be relayed now
            assert answer.status == 503
            assert "s3" in answer.body["message"]
            wait_until(lambda: section(world)["state"] == "active", 20)
            assert time.monotonic() - since > RESTART_S - 0.5
            wait_until(lambda: world.enc("metro1", "sae-metro1", "sae-core1", size=128).status == 200, 20)

        assert world.admin("POST", "/v1/sections/s3/cut").status == 200
        assert section(world)["state"] == "stopped"
        assert world.admin("DELETE", "/v1/sections/s3/cut").status == 200
        is_out_for_its_time()
        assert world.admin("POST", "/v1/sections/s3/eavesdrop", {"fraction": 1.0}).status == 200
        wait_until(lambda: section(world)["state"] == "stopped", 20)
        assert world.admin("DELETE", "/v1/sections/s3/eavesdrop").status == 200
        is_out_for_its_time()
