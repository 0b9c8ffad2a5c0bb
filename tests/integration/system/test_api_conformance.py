"""The running API against its own description: schemathesis asks what the OpenAPI document allows, and what not.

Slices that exist are made beforehand, so that more than refusals is seen.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.testbed.paths import REPOSITORY
from tests.support.switch_fabric import Controller, Fabric, free_port, unique_prefix, with_prefix
from tests.support.wait import PATIENCE
from topologies.catalog import ukqntel

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.slow]

EXAMPLES = REPOSITORY / "scripts" / "examples"
PREFIX = unique_prefix()
CASES_PER_OPERATION = 10
CONFIG = """
[checks.positive_data_acceptance]
# Right in form is not feasible (422), still there (410) or unchanged (412).
expected-statuses = ["2xx", "304", "404", "409", "410", "412", "422"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "410", "412", "415", "422"]
"""


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    topology = with_prefix(ukqntel(), PREFIX)
    with Fabric(topology, free_port()) as fabric:
        process = Controller(fabric, tmp_path_factory.mktemp("ctl"))
        try:
            process.start()
            yield process
        finally:
            process.stop()


def test_the_running_api_is_what_its_description_says(controller: Controller, tmp_path: Path) -> None:
    for example in ("enterprise-app", "cdn"):
        request = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
        request["cells"] = [PREFIX + cell for cell in request["cells"]]
        request["core"] = PREFIX + request["core"]
        request["compute"]["site"] = PREFIX + request["compute"]["site"]
        assert controller.call("POST", "/v1/slices", request)[0] == 201
    ring = yaml.safe_load((EXAMPLES / "ring.yaml").read_text())
    for listed in ring["connections"]:
        listed |= {"from": PREFIX + listed["from"], "to": PREFIX + listed["to"]}
    assert controller.call("POST", "/v1/slices", ring)[0] == 201
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"http://127.0.0.1:{controller.api_port}/openapi.json",
            "--header", f"Authorization: Bearer {controller.token}", "--checks", "all",
            "--exclude-path", "/v1/events",  # it never ends
            "--max-examples", str(CASES_PER_OPERATION), "--seed", "1", "--continue-on-failure", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=80 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    log = controller.log_path.read_text()
    assert "Traceback" not in log, log[-5_000:]
