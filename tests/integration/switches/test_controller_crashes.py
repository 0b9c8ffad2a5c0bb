"""The controller process killed at every numbered step of creating, changing and deleting a slice.

After the next start the slice is whole or gone, resources and rules are exact, and the traffic of another slice has
lost nothing. Many clients at once are here too: what they leave behind is what was there before.
"""

from __future__ import annotations

import http.client
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml

from controller.testing.checkpoints import CHANGE_CHECKPOINTS, CREATE_CHECKPOINTS, DELETE_CHECKPOINTS
from scripts.testbed.paths import REPOSITORY
from tests.support.switch_fabric import Controller, Fabric, free_port, unique_prefix, with_prefix
from tests.support.wait import wait_until
from topologies.catalog import ukqntel

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.counts_packets]

EXAMPLES = REPOSITORY / "scripts" / "examples"
PREFIX = unique_prefix()
NAME = "enterprise-app"
PATCH = {"compute": {"site": PREFIX + "agg1"}, "connections": {"control": {"security": "qra"}}}
CLIENTS, REQUESTS = 16, 200


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with Fabric(with_prefix(ukqntel(), PREFIX), free_port()) as fabric:
        process = Controller(fabric, tmp_path_factory.mktemp("ctl"))
        try:
            process.start()
            yield process
        finally:
            process.stop()


def example(which: str, /, **changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{which}.yaml").read_text())
    request["cells"] = [PREFIX + c for c in request["cells"]]
    request["core"] = PREFIX + request["core"]
    request["compute"]["site"] = PREFIX + request["compute"]["site"]
    return request | changes


def create(controller: Controller) -> int:
    return int(controller.call("POST", "/v1/slices", example(NAME))[0])


def patch(controller: Controller) -> int:
    merge_patch = {"Content-Type": "application/merge-patch+json"}
    return int(controller.call("PATCH", f"/v1/slices/{NAME}", PATCH, **merge_patch)[0])


def delete(controller: Controller, name: str = NAME) -> int:
    return int(controller.call("DELETE", f"/v1/slices/{name}")[0])


LABEL = re.compile(r"(?<=dl_vlan=)\d+|(?<=set_field:)\d+(?=->vlan_vid)")


def footprint(controller: Controller) -> dict[str, Any]:
    """Everything that slices take, as the switches, the agents and the API tell it."""
    topology = controller.call("GET", "/v1/topology")[1]
    fabric = controller.fabric
    return {
        # Each process begins with other labels (controller.forwarding.labels): which ones does not count here.
        "rules": {site: sorted(LABEL.sub("#", rule) for rule in rules) for site, rules in fabric.all_rules().items()},
        "meters": {site: fabric.meters(site) for site in fabric.topology.site_names},
        "agents": {site: dict(agent.connections) for site, agent in controller.agents.items()},
        "bandwidth": {c["id"]: c["reserved_mbps"] for c in topology["channels"]},
        "key rate": {s["id"]: s["reserved_bps"] for s in topology["sections"]},
        "compute": {s["name"]: (s["free_vcpus"], s["free_memory_gb"]) for s in topology["sites"]},
        "states": {s["name"]: s["state"] for s in controller.call("GET", "/v1/slices")[1]["slices"]},
    }


def differences(there: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {part: (there[part], wanted[part]) for part in wanted if there[part] != wanted[part]}


def is_dead(controller: Controller) -> bool:
    assert controller.process is not None
    return controller.process.poll() is not None


@pytest.mark.slow
@pytest.mark.timeout(600)  # 36 starts of a process: 45 s on two idle cores, far more on busy ones
def test_whatever_step_it_dies_at_the_slice_is_whole_or_gone(controller: Controller) -> None:
    assert controller.call("POST", "/v1/slices", example("cdn"))[0] == 201
    access = next(
        c for c in controller.call("GET", "/v1/slices/cdn")[1]["connections"] if c["name"].endswith("cell1-compute")
    )
    # What each form of the slice takes: made, changed and deleted without a crash.
    gone = footprint(controller)
    assert create(controller) == 201
    old = footprint(controller)
    assert patch(controller) == 200
    new = footprint(controller)
    assert delete(controller) == 200
    assert differences(footprint(controller), gone) == {}
    assert differences(new, old).keys() >= {"rules", "agents", "bandwidth", "compute"}

    survived = CHANGE_CHECKPOINTS.index("change.9-journalled-new")
    plan = [(step, "create", old if step == CREATE_CHECKPOINTS[-1] else gone) for step in CREATE_CHECKPOINTS]
    plan += [(step, "change", new if n >= survived else old) for n, step in enumerate(CHANGE_CHECKPOINTS)]
    plan += [(step, "delete", gone) for step in DELETE_CHECKPOINTS]
    answers = controller.directory / "pings"
    command = f"exec ping -i 0.01 {access['dst_address']} > {answers}"
    pinger = controller.fabric.popen(access["src"], "sh", "-c", command)
    controller.kill()
    controller.restart(crash_at_checkpoint=plan[0][0])
    for (step, operation, wanted), following in zip(plan, [*(step for step, _, _ in plan[1:]), None], strict=True):
        if operation != "create" and NAME not in footprint(controller)["states"]:
            assert create(controller) == 201, step
        if operation == "delete":
            controller.kill()
            controller.restart(crash_at_checkpoint=step)
        with suppress(OSError, http.client.HTTPException):
            {"create": create, "change": patch, "delete": delete}[operation](controller)
        wait_until(lambda: is_dead(controller), 30)
        assert controller.process is not None
        assert controller.process.returncode == -signal.SIGKILL, step
        # The next process is told already where to die, except in deleting: it may have to do so to recover.
        controller.restart(crash_at_checkpoint=None if following in DELETE_CHECKPOINTS else following)
        with suppress(AssertionError):  # said better below
            wait_until(lambda wanted=wanted: not differences(footprint(controller), wanted), 10, 0.05)  # type: ignore[misc]
        assert differences(footprint(controller), wanted) == {}, (step, controller.log_path.read_text())
        if NAME in wanted["states"] and following not in DELETE_CHECKPOINTS:
            assert delete(controller) == 200
            assert differences(footprint(controller), gone) == {}, step
    pinger.send_signal(signal.SIGINT)
    pinger.wait(5)
    answered = {int(n) for n in re.findall(r"icmp_seq=(\d+) ", answers.read_text())}
    # The last may still have been on its way when it was stopped; of those before it none is missing.
    assert len(answered) > 1000
    assert answered == set(range(1, max(answered) + 1))
    assert delete(controller, "cdn") == 200


def test_many_clients_at_once_leave_nothing_behind(controller: Controller) -> None:
    for name in footprint(controller)["states"]:
        assert delete(controller, name) == 200
    start = footprint(controller)
    lock = threading.Lock()
    todo = list(range(REQUESTS))
    answers: list[tuple[str, int, Any]] = []

    def client() -> None:
        while True:
            with lock:
                if not todo:
                    return
                n = todo.pop()
            name = f"slice-{n % 20}"  # many want the same name at the same time
            request = example(("cdn", NAME)[n % 2], name=name)
            for spec in request["connections"].values():
                spec["bandwidth_mbps"] = 1 + n % 7
            for method, path, body in (("POST", "/v1/slices", request), ("DELETE", f"/v1/slices/{name}", None)):
                status, answer = controller.call(method, path, body)
                with lock:
                    answers.append((method, status, answer))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for channel in controller.call("GET", "/v1/topology")[1]["channels"]:
            assert 0 <= channel["reserved_mbps"] <= channel["capacity_mbps"]
        threads[0].join(0.05)
    assert len(answers) == 2 * REQUESTS
    assert {status for method, status, _ in answers if method == "POST"} <= {201, 409, 422}, answers
    assert {status for method, status, _ in answers if method == "DELETE"} <= {200, 404, 409}, answers
    made = sum(status == 201 for _, status, _ in answers)
    # A delete that comes while a slice is being made wins: then both have done their part.
    overtaken = sum(status == 409 and "deleted while" in answer["detail"] for _, status, answer in answers)
    removed = sum(status == 200 for _, status, _ in answers)
    assert made + overtaken == removed + len(footprint(controller)["states"])
    for name in footprint(controller)["states"]:
        delete(controller, name)
    assert made > 0  # how many depends on how often two want one name at a time
    assert differences(footprint(controller), start) == {}
