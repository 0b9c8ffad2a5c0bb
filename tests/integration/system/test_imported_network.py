"""A network of others, imported with its traffic, as its user does it: up, its slices, a cut that is healed, down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.launcher import answer, connection, network_up, qslice
from tests.support.wait import wait_until

pytest.importorskip("topohub", reason="an optional extra: .venv/bin/python -m pip install topohub")
pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

SLICES = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    folder: Path = tmp_path_factory.mktemp("polska")
    topology, slices = folder / "polska.yaml", folder / "slices.yaml"
    answer("topo", "import", "topohub:sndlib/polska", "--out", str(topology), "--demands-as", str(slices))
    document = yaml.safe_load(slices.read_text())
    slices.write_text(yaml.safe_dump({"slices": document["slices"][-SLICES - 1 : -1]}))
    with network_up(topo=str(topology)):
        told = answer("slice", "create", str(slices))
        assert told["refused"] == []
        yield told["slices"]


def reaches(there: dict[str, Any]) -> bool:
    words = ("ping", "-c", "2", "-i", "0.2", "-W", "1", there["dst_address"])
    return qslice("exec", there["src"], "--", *words).returncode == 0


def test_its_traffic_is_carried(made: list[dict[str, Any]]) -> None:
    assert len(made) == SLICES
    for found in made:
        for there in found["connections"]:
            wait_until(lambda there=there: reaches(there), timeout_s=20, interval_s=0.2)  # type: ignore[misc]


def test_a_cut_is_healed(made: list[dict[str, Any]]) -> None:
    name, there = made[0]["name"], made[0]["connections"][0]
    cut = there["path"][0]
    answer("link", "down", cut)
    wait_until(lambda: cut not in connection(name, there["name"])["path"], timeout_s=20, interval_s=0.2)
    wait_until(lambda: reaches(there), timeout_s=20, interval_s=0.2)
    answer("link", "up", cut)
