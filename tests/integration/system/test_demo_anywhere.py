"""`demo --topo FILE` on a network that has neither the papers' sites nor QKD everywhere: shown as far as it goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.launcher import footprint, left_since, qslice

pytestmark = [
    pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow, pytest.mark.counts_packets,
]  # fmt: skip

NETWORK = """\
name: village
sites:
  - {name: barn, tier: cell}
  - {name: hub, tier: metro, vcpus: 32, memory_gb: 128}
  - {name: town, tier: core, vcpus: 16, memory_gb: 64}
fibres:
  - {a: barn, b: hub, km: 4, channels: [none, dh, qra, {class: qra, id: second}]}
  - {a: hub, b: town, km: 12, channels: [dh, qra, qkd, {class: qkd, id: third}]}
"""


@pytest.mark.timeout(600)
def test_what_a_network_can_show_is_shown_and_the_rest_is_said(tmp_path: Path) -> None:
    (tmp_path / "village.yaml").write_text(NETWORK)
    before = footprint()
    done = qslice("demo", "--topo", str(tmp_path / "village.yaml"), "--report", str(tmp_path / "out"), timeout_s=180)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    # How much gets through, and how soon again, depends on how busy the machine is.
    assert [c for c in report["checks"] if not c["ok"] and c["name"] not in ("throughput", "outage")] == []
    assert done.returncode == (0 if report["ok"] else 1), done.stderr
    assert {s["name"] for s in report["slices"]} == {"enterprise-app", "cdn"}
    assert {(c["src"], c["dst"]) for s in report["slices"] for c in s["connections"]} == {
        ("barn", "town"), ("barn", "hub"), ("hub", "town"),
    }  # fmt: skip
    assert any("one cell" in remark for remark in report["remarks"])
    assert all(remark in done.stderr for remark in report["remarks"])
    assert report["failure"]["security_kept"] is True
    assert left_since(before) == {}
