"""The papers' layers on the whole system: switches, agents, KMS, controller layer and devices are the real ones."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ncclient import manager

from controller.layers.device.bridge import Bridge
from controller.northbound.views.network import switch_view
from scripts.testbed.clients import Northbound
from scripts.testbed.life.devices import NETCONF_PORT, address
from scripts.testbed.run_record import running_record
from tests.support.launcher import LAYOUT, answer, argv, environment, network_up, qslice
from tests.support.wait import wait_until
from topologies.catalog import ukqntel
from topologies.ovsdb import database_socket

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

APP = "enterprise-app"
CREATE = ("slice", "create", "--example", APP)
LATE_S = 4.0
TOPOLOGY = ukqntel()


@pytest.fixture(scope="module", autouse=True)
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    config = tmp_path_factory.mktemp("configuration") / "sequential.yaml"
    config.write_text(f"provisioning: {{mode: sequential, deadline_s: {LATE_S}}}\n", encoding="utf-8")
    with network_up(options=("--config", str(config))):
        yield


def held() -> dict[str, Any]:
    """What the bridges hold."""
    sockets = {site: database_socket().with_name(f"{TOPOLOGY.bridge(site)}.mgmt") for site in TOPOLOGY.site_names}
    return {site: switch_view(Bridge(site, Path(path)).installed()) for site, path in sockets.items()}


def intended() -> Any:
    """What they shall hold, as the controller says."""
    api = Northbound(running_record(LAYOUT).api_url, LAYOUT.token)
    return api.call("GET", "/v1/intended")[1]["switches"]


def pid_of(site: str) -> int:
    return running_record(LAYOUT).processes[f"device-{site}"].pid


def refused() -> str:
    """What `slice create` says; nothing is left of the slice when it returns."""
    before = held()
    done = qslice(*CREATE)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert held() == before == intended()
    return done.stderr


def trace() -> Any:
    return answer("slice", "show", APP, "--trace")["traces"][-1]


def test_a_slice_is_set_up_and_taken_down_by_steps_that_add_up() -> None:
    empty = held()
    answer(*CREATE)
    assert held() == intended() != empty
    assert all(echoes["received"] for echoes in answer("ping", APP))
    made = trace()
    assert made["steps_ms"] == pytest.approx(made["total_ms"], rel=0.02)
    steps = [step for step in made["steps"] if step["layer"] == "device"]
    assert steps[0]["device"] == "cell1"
    assert all(step["device_ms"] > 0 and step["outcome"] == "done" for step in steps)
    answer("slice", "delete", APP)
    assert held() == intended() == empty
    gone = trace()
    assert gone["steps_ms"] == pytest.approx(gone["total_ms"], rel=0.02)
    back = [(step["connection"], step["device"]) for step in gone["steps"] if step["layer"] == "device"]
    assert back == [(step["connection"], step["device"]) for step in steps][::-1]


def test_a_device_that_another_manager_has_locked_refuses() -> None:
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(LAYOUT.device_keys / "device-metro1")],
        capture_output=True, text=True, check=True,
    ).stdout.split()[1]  # fmt: skip
    with manager.connect_ssh(
        host=address(TOPOLOGY, "metro1"), port=NETCONF_PORT, username="orchestrator", hostkey_b64=public,
        key_filename=str(LAYOUT.device_keys / "controller-layer"), allow_agent=False, look_for_keys=False, timeout=20,
    ) as session:  # fmt: skip
        session.lock("running")
        said = refused()
    assert "device metro1" in said
    assert "lock-denied" in said
    assert [s["device"] for s in trace()["steps"] if s["name"] == "withdraw"][-1] == "cell1"


def test_a_device_that_is_late_fails_its_step_and_makes_nothing_of_it_later() -> None:
    before = held()
    os.kill(pid_of("agg1"), signal.SIGSTOP)
    try:
        said = refused()
    finally:
        os.kill(pid_of("agg1"), signal.SIGCONT)
    assert "device agg1" in said
    assert "no answer within" in said
    # What it still does with what it was asked for is over when it answers the next question.
    wait_until(lambda: qslice(*CREATE).returncode == 0, 20)
    assert held() == intended() != before
    answer("slice", "delete", APP)
    assert held() == intended() == before


def test_a_device_that_dies_in_a_step_and_is_back_leaves_nothing_of_it() -> None:
    before = held()
    os.kill(pid_of("metro1"), signal.SIGSTOP)
    creating = subprocess.Popen(argv(*CREATE), stderr=subprocess.PIPE, text=True, env=environment())
    wait_until(lambda: held()["agg1"] != before["agg1"], 20)  # the step before
    answer("process", "kill", "device-metro1")
    answer("process", "restart", "device-metro1")
    said = creating.communicate(timeout=60)[1]
    assert (creating.returncode, "device metro1" in said) == (1, True)
    assert held() == intended() == before
    answer(*CREATE)
    assert held() == intended() != before
