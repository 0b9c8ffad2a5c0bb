"""A switch is the one that its certificate names: the controller process, and switches that say they are another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.southbound.switch_identity import switch_urn
from kms.pki import authority as pki
from tests.support.openflow_switch import OpenFlowSwitch
from tests.support.running_controller import RunningController
from tests.support.wait import wait_until
from topologies.catalog import ukqntel

CELL, CORE = ukqntel().dpid("cell1"), ukqntel().dpid("core1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of one authority: of one machine with one switch, of another with two, of none and of an SAE."""
    root = tmp_path_factory.mktemp("pki")
    pki.ensure_ca(root)
    for name, own in (("cell1", [CELL]), ("both", [CELL, CORE]), ("unnamed", [])):
        pki.issue_server(root, "switches", ["127.0.0.1", *map(switch_urn, own)], root / name)
    pki.issue_server(root, "controller", ["127.0.0.1"], root / "controller")
    pki.issue_sae(root, "switches", root / "sae")
    return root


@pytest.fixture
def controller(folder: Path, tmp_path: Path) -> Iterator[RunningController]:
    own = {file: str(folder / "controller" / f"{file}.pem") for file in ("key", "cert", "ca")}
    with RunningController(tmp_path, openflow={**own, "switch_name": "switches"}) as running:
        yield running


def log_of(controller: RunningController) -> str:
    return controller.log_path.read_text()


@pytest.mark.parametrize("holder", ["cell1", "unnamed"])
def test_fault_19_a_switch_cannot_be_another_than_its_certificate(
    controller: RunningController, folder: Path, holder: str
) -> None:
    with OpenFlowSwitch(controller.openflow_port, CORE, folder / holder) as impostor:
        wait_until(impostor.ended.is_set, 20)
    assert f"that says it is {CORE:016x} was refused" in log_of(controller)
    assert "switch core1 connected" not in log_of(controller)


def test_fault_19_the_genuine_switch_stays_when_another_says_it_is_it(
    controller: RunningController, folder: Path
) -> None:
    with OpenFlowSwitch(controller.openflow_port, CORE, folder / "both") as genuine:
        wait_until(lambda: "switch core1 connected" in log_of(controller), 20)
        with OpenFlowSwitch(controller.openflow_port, CORE, folder / "cell1") as impostor:
            wait_until(impostor.ended.is_set, 20)
        assert not genuine.ended.is_set()
        assert "switch core1 disconnected" not in log_of(controller)
    wait_until(lambda: "switch core1 disconnected" in log_of(controller), 20)


def test_one_certificate_may_name_several_switches(controller: RunningController, folder: Path) -> None:
    port, own = controller.openflow_port, folder / "both"
    with OpenFlowSwitch(port, CORE, own), OpenFlowSwitch(port, CELL, own):
        wait_until(lambda: log_of(controller).count(" connected") == 2, 20)


def test_a_client_of_the_kms_is_no_switch(controller: RunningController, folder: Path) -> None:
    with OpenFlowSwitch(controller.openflow_port, CELL, folder / "sae") as impostor:
        wait_until(impostor.ended.is_set, 20)
    assert "not of switches" in log_of(controller)


def test_fault_19_without_tls_anybody_is_any_switch(tmp_path: Path) -> None:
    with RunningController(tmp_path) as careless, OpenFlowSwitch(careless.openflow_port, CORE):
        wait_until(lambda: "switch core1 connected" in log_of(careless), 20)
