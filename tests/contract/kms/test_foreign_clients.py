"""Programs that nobody here wrote, let loose on a KME: schemathesis with our OpenAPI document, ``qkdsec doctor``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_kms import KmsWorld, running_kms

CASES_PER_OPERATION = 15
# 401: well-formed, of somebody else. 503: no key now. Ids and SAEs that are only well-formed are refused with 400.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "503"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "405"]
[checks.unsupported_method]
enabled = true
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsWorld]:
    with running_kms(tmp_path_factory.mktemp("kms"), default_key_source="dh") as world:
        yield world


def credentials(world: KmsWorld, sae: str) -> tuple[str, str, str]:
    out = world.credentials(sae)
    return str(out / "cert.pem"), str(out / "key.pem"), str(out / "ca.pem")


@pytest.mark.slow
def test_a_kme_is_what_its_openapi_document_says(world: KmsWorld, tmp_path: Path) -> None:
    cert, key, ca = credentials(world, "tester")
    document, config = tmp_path / "openapi.json", tmp_path / "schemathesis.toml"
    described = world.ask_with(world.tls("tester"), "cell1", "GET", "/api/v1/openapi.json").body
    for path in described["paths"].values():
        for operation in path.values():
            # SAEs that there are, so that more than refusals is seen.
            operation["parameters"][0]["schema"] = {"enum": ["tester", "sae-metro1", "sae-core1"]}
    document.write_text(json.dumps(described))
    config.write_text(CONFIG)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(document),
            "--url", world.urls["cell1"], "--request-cert", cert, "--request-cert-key", key, "--tls-verify", ca,
            "--checks", "all", "--exclude-checks", "ignored_auth", "--max-examples", str(CASES_PER_OPERATION),
            "--seed", "1", "--continue-on-failure", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


def test_qkdsec_doctor_finds_no_fault(world: KmsWorld) -> None:
    """As its own slave: the doctor fetches what it ordered under one identity, which the text allows to no other."""
    cert, key, ca = credentials(world, "patient")
    done = subprocess.run(
        [
            sys.executable, "-m", "qkdsec._cli", "doctor", world.urls["cell1"], "-s", "patient",
            "--cert", cert, "--key", key, "--ca-cert", ca, "--format", "json",
        ],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    report = json.loads(done.stdout)
    failed = [probe for probe in report["results"] if probe["status"] == "fail"]
    assert not failed, failed
