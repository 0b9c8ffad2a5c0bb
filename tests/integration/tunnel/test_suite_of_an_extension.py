"""Two real agents that seal by a suite which is an extension: traffic passes between equals alone."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.tunnel_lab import Lab, Pair, capture, loss_pct, tunnel_lab
from tests.support.wait import PATIENCE

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun, pytest.mark.counts_packets]

SHIPPED = REPOSITORY / "scripts" / "extensions" / "shipped" / "aes_gcm_siv.py"
NAME = "x-aes-256-gcm-siv"
MARK = "5245414441424c45"  # READABLE


def tell(lab: Lab, name: str, file: Path) -> None:
    """Start the agent again with the suite in ``file``."""
    extension = {"target": f"{file}:AesGcmSiv", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    config = json.loads(lab.config_path(name).read_text()) | {"suite_extension": extension}
    lab.config_path(name).write_text(json.dumps(config))
    lab.stop_agent(name)
    lab.start_agent(name)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with tunnel_lab(tmp_path_factory.mktemp("suite")) as lab:
        for name in "ab":
            tell(lab, name, SHIPPED)
        yield lab


def test_traffic_passes_and_none_of_it_can_be_read(lab: Lab, tmp_path: Path) -> None:
    pair, pcap = Pair(lab, 1, {"suite": NAME, "rekey_s": 0.5}), tmp_path / "wire.pcap"
    pair.add()
    pair.wait_up()
    with capture(lab, "b", pcap):
        assert loss_pct(pair.ping("-c", "100", "-i", "0.01", "-s", "1000", "-p", MARK)) == 0
    assert bytes.fromhex(MARK) not in pcap.read_bytes()
    for name in "ab":
        stats = pair.stats(name)
        assert (stats["suite"], stats["data_plane"], stats["rx_auth_failures"]) == (NAME, "userspace", 0)
        assert stats["rekeys"] >= 1
    pair.remove()


def test_ends_with_other_code_of_that_name_never_come_up(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "aes_gcm_siv.py"
    other.write_bytes(SHIPPED.read_bytes() + b"# one remark more\n")
    tell(lab, "b", other)
    pair = Pair(lab, 2, {"suite": NAME})
    pair.add()
    answer = lab.clients["a"].ask("wait_up", connection_id=pair.id, timeout_s=2.0)
    assert answer["error"]["type"] == "unavailable"
    assert loss_pct(pair.ping("-c", "3", "-i", "0.05")) == 100
    assert pair.stats("b")["rx_packets"] == 0
    pair.remove()


def test_an_agent_does_not_start_with_a_suite_that_hides_nothing(lab: Lab) -> None:
    file = REPOSITORY / "tests" / "support" / "extensions" / "suites.py"
    config = json.loads(lab.config_path("b").read_text())
    config["suite_extension"] = {"target": f"{file}:Plain", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    lab.config_path("b").write_text(json.dumps(config))
    lab.stop_agent("b")
    process = lab.start("liar", "b", sys.executable, "-m", "kms.tunnel", "--config", str(lab.config_path("b")))
    assert process.wait(30.0 * PATIENCE) == 2
    assert "x-plain: it hides the plaintext" in (lab.directory / "liar.log").read_text()
