"""A configuration file on a real network: what it says is what the processes do, and what results say of it."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from scripts.testbed.clients import KmsAdmin
from tests.support.launcher import LAYOUT, answer, footprint, left_since, qslice
from tests.support.results_reference import ORIGIN_HEADING, unknown

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

FILE = """\
version: 1
network: {scale: 2}
api: {host: 127.0.0.2, port: 8095, require_token_for_reads: true}
openflow: {port: 6690}
controller: {forbidden_suites: [chacha20-poly1305]}
policy: {always: [qra], cost_profile: use-free-premium}
kms:
  qra_kem: ML-KEM-768+HQC-128
  dh_group: ffdhe3072
tunnel: {data_plane: userspace, probe_s: 0.25}
"""


def status_without_a_token(path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.2", 8095, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_a_file_says_is_in_force(tmp_path: Path) -> None:
    file, before = tmp_path / "my.yaml", footprint()
    file.write_text(FILE)
    try:
        up = qslice("up", "--detach", "--json", "--config", str(file), QSLICE_CONTROLLER__HOLD_DOWN_S="2")
        assert up.returncode == 0, up.stderr
        assert json.loads(up.stdout)["api"] == "http://127.0.0.2:8095"
        # In force is what the network was started with, whatever has become of the file.
        file.write_text("version: 1\n")
        settings = answer("config", "show", "--running")["settings"]
        assert settings["kms.qra_kem"]["from"] == {"source": "file", "where": f"{file}:8"}
        assert settings["controller.hold_down_s"]["from"]["source"] == "environment"
        assert (status_without_a_token("/v1/slices"), status_without_a_token("/v1/healthz")) == (401, 200)
        assert {c["capacity_mbps"] for c in answer("link", "list")} == {200.0}
        made = answer("slice", "create", "--example", "enterprise-app")
        assert made["state"] == "ACTIVE"
        sources = {c["id"]: c["key_source"] for c in made["connections"]}
        assert sources["enterprise-app/compute-core"] == "qkd+qra"  # asked for qkd; the policy adds qra
        told = answer("tunnel", "stats", "core1")["sites"]["core1"]["connections"]
        assert {name: each["key_source"] for name, each in told.items()}.items() <= sources.items()
        assert answer("status")["policy"] == {"always": ["qra"], "cost_profile": "use-free-premium"}
        refused = qslice("slice", "patch", "enterprise-app", "--set", "connections.access.suite=chacha20-poly1305")
        assert refused.returncode == 2
        assert "is forbidden here" in refused.stderr
        status, kms = KmsAdmin(LAYOUT.kms_socket).call("GET", "/v1/status")
        assert (status, kms["algorithms"]["qra"], kms["algorithms"]["dh"]) == (200, "ML-KEM-768+HQC-128", "ffdhe3072")
        stats = answer("tunnel", "stats", "cell1")
        assert {c["data_plane"] for each in stats["sites"].values() for c in each["connections"].values()} == {
            "userspace"
        }
        held = answer("slice", "reserve", "--example", "cdn")
        assert held["slice"]["state"] == "RESERVED"
        assert answer("slice", "activate", held["id"])["state"] == "ACTIVE"
    finally:
        down = qslice("down")
    assert down.returncode == 0, down.stderr
    assert left_since(before) == {}


def test_results_say_which_settings_they_were_made_with(tmp_path: Path) -> None:
    file, out = tmp_path / "my.yaml", tmp_path / "out"
    file.write_text("experiment: {repetitions: 1, seed: 5}\napi: {port: 8096}\n")
    words = ["link-cut", "--config", str(file), "--out", str(out), "--json", "--time-scale", "0.4"]
    done = qslice("experiment", "run", *words, timeout_s=240)
    assert done.returncode == 0, done.stderr
    document = json.loads((out / "results.json").read_text())
    assert document == json.loads(done.stdout)
    assert unknown(document, "experiments/NAME/results.json", ORIGIN_HEADING) == []
    assert (document["seed"], document["repetitions"], len(document["results"])) == (5, 1, 1)
    told = document["provenance"]
    assert told["configuration"] == {"api.port": 8096, "experiment.seed": 5, "experiment.repetitions": 1}
    assert told["seed"] == 5
    assert told["version"] in (out / "report.html").read_text()


def test_a_benchmark_says_so_too(tmp_path: Path) -> None:
    file, out = tmp_path / "my.yaml", tmp_path / "out"
    file.write_text("bench: {provision: {runs: 2}}\nkms: {dh_group: ffdhe3072}\n")
    done = qslice("bench", "provision", "--config", str(file), "--out", str(out), "--json", timeout_s=240)
    assert done.returncode == 0, done.stderr
    document = json.loads((out / "provision.json").read_text())
    assert unknown(document, "bench/NAME/*.json", "bench/provision/provision.json", ORIGIN_HEADING) == []
    assert document["figures"]["runs"] == 2
    assert document["provenance"]["configuration"] == {"bench.provision.runs": 2, "kms.dh_group": "ffdhe3072"}
