"""Slices set up one device after the other, through the real layers: REST, NETCONF over SSH; switches in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ncclient import manager

from controller.device_model.kinds import DeviceKind
from controller.model.errors import ProvisioningFailed, Superseded
from controller.model.provisioning_trace import Layer, Outcome, ProvisioningMode, Task
from controller.model.request import SliceRequest
from controller.model.states import SliceState
from controller.operations.context import OperationContext
from tests.support.controller_bench import Bench, request_for
from tests.support.device_layers import Layers
from tests.support.fake_switches import FakeSwitches
from tests.support.wait import wait_until
from topologies.catalog import ukqntel

APP = "enterprise-app"


class Stage:
    """A controller over the papers' layers, and one over OpenFlow beside it."""

    def __init__(self, directory: Path, **terms: Any) -> None:
        topology = ukqntel()
        self.switches = FakeSwitches(topology)
        self.layers = Layers(topology, self.switches, directory / "state", **terms)
        self.directory = directory

    def __enter__(self) -> Stage:
        self.layers.__enter__()

        def extend(context: OperationContext) -> None:
            context.devices = self.layers.client

        self.bench = Bench(ukqntel(), self.directory / "db", self.switches, extend=extend)
        context = self.bench.context
        context.options = replace(context.options, steady=time.monotonic)
        return self

    def __exit__(self, *_: object) -> None:
        self.layers.__exit__()

    @property
    def trace(self) -> Any:
        return self.bench.context.traces.all()[-1]

    def lock(self, site: str) -> Any:
        """Another manager's session that has locked the device's configuration."""
        session = manager.connect_ssh(
            host="127.0.0.1", port=self.layers.servers[site].address[1], username="orchestrator",
            key_filename=str(self.layers.client_key), hostkey_b64=self.layers.host_key(site),
            allow_agent=False, look_for_keys=False, timeout=20,
        )  # fmt: skip
        session.lock("running")
        return session


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def small() -> SliceRequest:
    """The enterprise application with one cell."""
    return request_for(APP, cells=["cell1"])


def configured(stage: Stage, name: str = "configure") -> list[tuple[str, str]]:
    return [(step.connection, step.device) for step in stage.trace.steps if step.name == name]


def test_the_switches_hold_exactly_what_openflow_would_have_installed(stage: Stage, tmp_path: Path) -> None:
    record = stage.bench.slices.create(request_for(APP))
    assert record.state is SliceState.ACTIVE
    other = Bench(ukqntel(), tmp_path / "other")
    other.slices.create(request_for(APP))
    assert stage.switches.held() == other.switches.held()
    assert all(stage.bench.model.intended.at(s) == stage.switches.held()[s] for s in stage.bench.topology.site_names)
    assert stage.switches.sent == 0  # nothing went over OpenFlow
    stage.bench.repair_all()
    assert stage.switches.sent == 0  # and its audit finds nothing to repair


def test_steps_go_along_each_connections_path_the_control_connections_first(stage: Stage) -> None:
    stage.bench.slices.create(request_for(APP))
    expected = []
    for role in ("control", "compute", "core"):
        for connection in stage.bench.model.connections_of(APP):
            if connection.id.endswith(f"-{role}"):
                sites = [site for lane in connection.lanes for site in lane.route.sites]
                expected += [(connection.id, site) for site in dict.fromkeys(sites)]
    assert configured(stage) == expected
    first = [site for connection, site in expected if connection == f"{APP}/cell1-control"]
    assert (first[0], first[-1]) == ("cell1", "core1")


def test_the_total_is_the_sum_of_the_steps_and_times_are_told(stage: Stage) -> None:
    stage.bench.slices.create(request_for(APP))
    trace = stage.trace
    assert (trace.slice_name, trace.task, trace.mode) == (APP, Task.SET_UP, ProvisioningMode.SEQUENTIAL)
    assert trace.outcome is Outcome.DONE
    assert trace.steps_s == pytest.approx(trace.total_s, rel=0.02)
    ends = [(step.start_s, step.end_s) for step in trace.steps]
    assert ends == sorted(ends)  # one after the other
    devices = [step for step in trace.steps if step.layer is Layer.DEVICE]
    assert all(step.times.device_s <= step.end_s - step.start_s for step in devices)
    assert all(step.times.simulated_s == 0 and step.times.entries > 0 for step in devices)


def test_simulated_times_are_taken_by_the_device_and_said_to_be_simulated(tmp_path: Path) -> None:
    with Stage(tmp_path, takes_s={DeviceKind.ETHERNET: 0.1}) as stage:
        stage.bench.slices.create(small())
        devices = [step for step in stage.trace.steps if step.layer is Layer.DEVICE]
        assert all(step.times.simulated_s == 0.1 <= step.end_s - step.start_s for step in devices)
        assert stage.trace.simulated_s == pytest.approx(0.1 * len(devices))
        assert stage.trace.steps_s == pytest.approx(stage.trace.total_s, rel=0.02)


def test_taking_down_goes_in_reverse_order_and_leaves_nothing(stage: Stage) -> None:
    before = stage.bench.state()
    stage.bench.slices.create(request_for(APP))
    there = configured(stage)
    stage.bench.slices.delete(APP)
    assert configured(stage, "withdraw") == there[::-1]
    assert (stage.trace.task, stage.trace.outcome) == (Task.TAKE_DOWN, Outcome.DONE)
    assert stage.trace.steps_s == pytest.approx(stage.trace.total_s, rel=0.02)
    assert stage.bench.state() == before
    assert stage.switches.sent == 0


def test_a_refusal_at_each_step_rolls_back_exactly(stage: Stage) -> None:
    """At step k one bridge refuses what it had taken in all k - 1 attempts before."""
    stage.bench.slices.create(small())
    steps = configured(stage)
    stage.bench.slices.delete(APP)
    before = stage.bench.state()
    for number, (connection, site) in enumerate(steps, 1):
        seen = [0]

        def refuse(changes: Any, seen: list[int] = seen, number: int = number) -> str | None:
            seen[0] += 1
            return "no room" if seen[0] == number else None

        for bridge in stage.layers.bridges.values():
            bridge.refuse = refuse
        with pytest.raises(ProvisioningFailed) as caught:
            stage.bench.slices.create(small())
        failed = caught.value.step
        assert failed is not None
        assert (failed.number, failed.of, failed.device, failed.connection) == (number, len(steps), site, connection)
        assert "operation-failed" in str(caught.value)
        assert "no room" in str(caught.value)
        assert stage.bench.state() == before
        assert configured(stage, "withdraw") == steps[:number][::-1]
        assert (stage.trace.outcome, stage.trace.error) == (Outcome.ROLLED_BACK, str(caught.value))
        assert stage.trace.steps_s == pytest.approx(stage.trace.total_s, rel=0.02)
    assert stage.switches.sent == 0


def test_a_device_whose_configuration_somebody_has_locked_refuses(stage: Stage) -> None:
    before = stage.bench.state()
    session = stage.lock("metro1")
    try:
        with pytest.raises(ProvisioningFailed, match=r"device metro1 .* lock-denied: .*session \d+ has locked"):
            stage.bench.slices.create(request_for(APP))
    finally:
        session.close_session()
    # What it had refused to give back it was told by OpenFlow: nothing, as it had taken nothing.
    assert stage.bench.state() == before
    assert stage.bench.slices.create(request_for(APP)).state is SliceState.ACTIVE


def test_a_device_that_answers_late_fails_the_step_and_is_put_right(tmp_path: Path) -> None:
    with Stage(tmp_path, deadline_s=1.0) as stage:
        before = stage.bench.state()
        stuck = threading.Event()
        bridge = stage.layers.bridges["agg1"]
        installed = bridge.installed
        bridge.installed = lambda: (stuck.wait(20), installed())[1]  # type: ignore[method-assign]
        with pytest.raises(ProvisioningFailed, match=r"step 2 of \d+, device agg1 .* no answer within"):
            stage.bench.slices.create(request_for(APP))
        assert [fault.site for fault in stage.switches.reported] == ["agg1"]
        assert stage.bench.state() == before
        stuck.set()  # it goes on, late: whoever asked is gone, so that it makes nothing of it
        wait_until(lambda: stage.layers.running["agg1"]._one.acquire(blocking=False), 20)
        stage.layers.running["agg1"]._one.release()
        assert stage.bench.state() == before


def test_a_device_that_restarts_in_the_middle_of_a_step_fails_it_and_nothing_is_left(stage: Stage) -> None:
    before = stage.bench.state()
    bridge = stage.layers.bridges["metro1"]
    change = bridge.change

    def die(changes: Any) -> None:
        bridge.change = change  # type: ignore[method-assign]
        change(changes)  # done, and nobody is told: the process dies before it answers
        stage.layers.stop("metro1")
        stage.layers.start("metro1")

    bridge.change = die  # type: ignore[method-assign]
    with pytest.raises(ProvisioningFailed, match=r"step 3 of \d+, device metro1"):
        stage.bench.slices.create(request_for(APP))
    assert stage.bench.state() == before
    assert stage.switches.sent == 0  # the device that is back took it off itself
    assert stage.bench.slices.create(request_for(APP)).state is SliceState.ACTIVE


def test_a_device_that_stays_away_is_told_by_openflow(stage: Stage) -> None:
    before = stage.bench.state()
    stage.layers.stop("core1")
    with pytest.raises(ProvisioningFailed, match="device core1"):
        stage.bench.slices.create(request_for(APP))
    assert stage.bench.state() == before
    assert {fault.site for fault in stage.switches.reported} == {"core1"}


def test_without_its_controller_layer_nothing_is_made(stage: Stage) -> None:
    before = stage.bench.state()
    stage.layers.rest.shutdown()
    stage.layers.rest.server_close()
    with pytest.raises(ProvisioningFailed, match=r"step 1 of \d+, device cell1 .* the controller layer"):
        stage.bench.slices.create(request_for(APP))
    assert stage.bench.state() == before


def test_a_delete_ends_a_set_up_between_two_steps(stage: Stage) -> None:
    before = stage.bench.state()
    bridge = stage.layers.bridges["agg1"]
    change, deleted = bridge.change, threading.Event()

    def remove() -> None:
        stage.bench.slices.delete(APP)
        deleted.set()

    def overtaken(changes: Any) -> None:
        bridge.change = change  # type: ignore[method-assign]
        threading.Thread(target=remove, daemon=True).start()
        wait_until(lambda: stage.bench.model.slice(APP).state is SliceState.DELETING, 20)
        change(changes)

    bridge.change = overtaken  # type: ignore[method-assign]
    with pytest.raises(Superseded):
        stage.bench.slices.create(request_for(APP))
    assert deleted.wait(20)
    assert stage.bench.state() == before


def test_one_slice_waits_for_the_other(stage: Stage) -> None:
    """Paper 001, section 3.3: the configuration is locked, one change at a time."""
    names = ["one", "two"]
    threads = [
        threading.Thread(target=stage.bench.slices.create, args=(request_for(APP, name=name),), daemon=True)
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {record.state for record in stage.bench.model.slices.values()} == {SliceState.ACTIVE}
    waited = [step.end_s for trace in stage.bench.context.traces.all() for step in trace.steps if step.name == "turn"]
    first = stage.bench.context.traces.all()[0]
    assert max(waited) > [step for step in first.steps if step.layer is Layer.DEVICE][-1].end_s / 2 > min(waited)


def test_what_a_device_has_in_hand_is_no_work_for_the_audit(stage: Stage) -> None:
    found = []
    bridge = stage.layers.bridges["agg1"]
    change = bridge.change

    def looked_at(changes: Any) -> None:
        read = lambda: stage.switches.installed("agg1")  # noqa: E731
        found.append(stage.bench.maintenance.reconcile("agg1", read))
        change(changes)

    bridge.change = looked_at  # type: ignore[method-assign]
    stage.bench.slices.create(request_for(APP))
    stage.bench.slices.delete(APP)
    assert found
    assert all(found)
    assert stage.switches.sent == 0
