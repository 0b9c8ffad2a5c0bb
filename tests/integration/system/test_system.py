"""The whole system through its command line: what the README's tour does, and every way of asking wrongly."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from etsi_qkd_014_client import QKD014Client

from kms.pki import authority
from scripts.testbed.life.run import CONTROLLER_NICENESS
from scripts.testbed.run_record import running_record
from scripts.testbed.slice_requests import load_example
from tests.support.launcher import LAYOUT, answer, connection, network_up, qslice
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import load
from topologies.spec import SecurityClass

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_ovs,
    pytest.mark.needs_tun,
    pytest.mark.slow,
    pytest.mark.counts_packets,
]

TOPOLOGY = load("ukqntel")
FIBRE = "fibre-adastral-cambridge"


@pytest.fixture(scope="module")
def keylog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keylog") / "esp_sa"


@pytest.fixture(scope="module")
def status(keylog: Path) -> Iterator[dict[str, Any]]:
    """A network that is up, with both use cases of the papers on it; nothing may be left of it afterwards."""
    with network_up(keylog) as status:
        for name in ("enterprise-app", "cdn"):
            answer("slice", "create", "--example", name)
        yield status


@pytest.fixture
def mended(status: dict[str, Any]) -> Iterator[None]:
    """Whatever a test breaks is mended before the next."""
    yield
    for channel in answer("link", "list"):
        if channel["state"] != "up":
            answer("link", "up", channel["id"])
    wait_until(lambda: all(c["state"] == "up" for c in answer("link", "list")), timeout_s=10, interval_s=0.2)


def connections() -> list[dict[str, Any]]:
    return [c | {"slice": s["name"]} for s in answer("slice", "list") for c in s["connections"]]


def test_the_controller_does_not_wait_behind_what_it_heals(status: dict[str, Any]) -> None:
    controller = running_record(LAYOUT).processes["controller"].pid
    assert os.getpriority(os.PRIO_PROCESS, controller) == CONTROLLER_NICENESS
    group = Path(f"/proc/{controller}/autogroup")
    assert not group.exists() or group.read_text().split()[-1] == str(CONTROLLER_NICENESS)


def ping(host: str, address: str, count: int = 3) -> bool:
    return qslice("exec", host, "--", "ping", "-c", str(count), "-i", "0.2", "-W", "1", address).returncode == 0


def reserved() -> float:
    return float(sum(channel["reserved_mbps"] for channel in answer("link", "list")))


def test_both_use_cases_are_active_and_every_connection_carries_packets(status: dict[str, Any]) -> None:
    assert {s["name"]: s["state"] for s in answer("slice", "list")} == {"enterprise-app": "ACTIVE", "cdn": "ACTIVE"}
    for c in connections():
        assert ping(c["src"], c["dst_address"]), c
        assert ping(c["dst"], c["src_address"]), c
        if c["key_source"] != "none":
            assert ping(c["src"], c["dst_address6"], count=2), c


def test_every_path_is_at_or_above_the_class_asked_for(status: dict[str, Any]) -> None:
    for c in connections():
        required = SecurityClass.parse(c["required"])
        assert c["path"]
        assert all(TOPOLOGY.channel(channel).security >= required for channel in c["path"]), c


def test_status_and_lists_have_the_fields_of_the_contract(status: dict[str, Any]) -> None:
    assert set(status["kmes"]) == set(TOPOLOGY.site_names)
    shown = connection("enterprise-app", "cell1-compute")
    assert {"name", "src", "dst", "src_address", "dst_address", "required", "key_source", "path", "state"} <= set(shown)
    channel = answer("link", "list")[0]
    assert set(channel) == {
        "id", "a", "b", "a_interface", "b_interface", "class", "state", "capacity_mbps", "reserved_mbps",
        "wavelength", "ports_used", "ports_free",
    }  # fmt: skip
    now = answer("status")
    assert set(now["processes"].values()) == {"up"}
    assert now["links_down"] == []


@pytest.mark.parametrize("words", [["status"], ["slice", "list"], ["slice", "show", "cdn"], ["link", "list"], ["keys"]])
def test_people_get_tables(status: dict[str, Any], words: list[str]) -> None:
    done = qslice(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)


def test_exec_passes_output_and_status_through(status: dict[str, Any]) -> None:
    done = qslice("exec", "metro1", "--", "sh", "-c", "ip -br addr show data0; exit 7")
    assert done.returncode == 7
    assert TOPOLOGY.host("metro1").data_address in done.stdout


def test_a_second_up_is_refused_and_harms_nothing(status: dict[str, Any], tmp_path: Path) -> None:
    measure = ["bench", "provision", "--runs", "1", "--out", str(tmp_path)]
    for words in (["up", "--detach"], ["up", "--detach", "--topo", "metro-ring"], ["demo"], measure):
        done = qslice(*words)
        assert done.returncode == 1
        assert "already up" in done.stderr
    assert ping("cell1", connection("cdn", "cell1-control")["dst_address"])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["exec", "cell9", "--", "true"], "cell9"),
        (["exec", "cell1", "--"], "CMD"),
        (["link", "down", "cell1-agg1-ch9"], "cell1-agg1-ch9"),
        (["node", "down", "metro9"], "metro9"),
        (["eavesdrop", "start", "s9"], "s9"),
        (["eavesdrop", "start", "s1", "--fraction", "2"], "--fraction"),
        (["slice", "show", "nothing"], "nothing"),
        (["slice", "delete", "nothing"], "nothing"),
        (["slice", "create"], "FILE"),
        (["slice", "create", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (["slice", "create", "--example", "cdn"], "cdn"),
        (["up", "--detach", "--topo", "atlantis"], "atlantis"),
        (["up", "--detach", "--scale", "0"], "--scale"),
        (["pki", "issue", "eve", "--out", "/nonexistent/x", "--site", "nowhere"], "--site"),
        (["pki", "issue", "../../etc/x", "--out", "/nonexistent/x"], "SAE"),
    ],
)
def test_a_wrong_request_ends_with_2_and_names_what_is_wrong(
    status: dict[str, Any], words: list[str], names: str
) -> None:
    done = qslice(*words)
    assert done.returncode == 2, done.stderr
    assert names in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"colour": "blue"}, "colour"),
        ({"cells": ["cell9"]}, "cell9"),
        ({"cells": []}, "cells"),
        ({"core": "metro1"}, "metro1"),
        ({"name": "cdn"}, "cdn"),
        ({"name": "a/b"}, "name"),
        ({"compute": {"site": "metro1", "vcpus": -1, "memory_gb": 1}}, "compute.vcpus"),
    ],
)
def test_a_wrong_slice_names_the_field(status: dict[str, Any], change: dict[str, Any], names: str) -> None:
    before = reserved()
    request = load_example("enterprise-app") | {"name": "wrong"} | change
    done = qslice("slice", "create", "-", stdin=yaml.safe_dump(request))
    assert done.returncode == 2, done.stderr
    assert names in done.stderr
    assert reserved() == before


def test_what_does_not_fit_says_which_constraint_and_where_and_what_would(status: dict[str, Any]) -> None:
    before = reserved()
    request = load_example("enterprise-app") | {"name": "huge"}
    request["connections"]["access"] |= {"bandwidth_mbps": 500}
    done = qslice("slice", "create", "-", stdin=yaml.safe_dump(request))
    assert done.returncode == 1
    assert "bandwidth" in done.stderr
    assert "agg1" in done.stderr
    assert "would fit" in done.stderr
    assert reserved() == before
    assert "huge" not in {s["name"] for s in answer("slice", "list")}


def test_a_dry_run_changes_nothing(status: dict[str, Any]) -> None:
    before = reserved()
    plan = answer("slice", "create", "-", "--dry-run", stdin=yaml.safe_dump(load_example("cdn") | {"name": "plan"}))
    assert all(c["path"] for c in plan["connections"])
    assert reserved() == before


def test_yaml_that_is_none_is_refused(status: dict[str, Any]) -> None:
    for text in ("{not json", "- a\n- list", "x: !!python/object:os.system {}", ""):
        done = qslice("slice", "create", "-", stdin=text)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


def test_a_cut_is_healed_without_lowering_security(status: dict[str, Any], mended: None) -> None:
    before = connection("enterprise-app", "compute-core")
    cut = before["path"][0]
    answer("link", "down", cut)
    wait_until(lambda: cut not in connection("enterprise-app", "compute-core")["path"], timeout_s=5)
    wait_until(lambda: connection("enterprise-app", "compute-core")["state"] == "ACTIVE", timeout_s=5)
    after = connection("enterprise-app", "compute-core")
    assert all(TOPOLOGY.channel(c).security is SecurityClass.QKD for c in after["path"])
    assert after["key_source"] == "qkd"
    assert ping(after["src"], after["dst_address"])
    assert cut in answer("status")["links_down"]


def test_without_a_way_it_is_degraded_and_comes_back_by_itself(status: dict[str, Any], mended: None) -> None:
    for channel in ("metro1-core1-ch4", "metro1-core1-ch5"):
        answer("link", "down", channel)
    wait_until(lambda: connection("enterprise-app", "compute-core")["state"] == "DEGRADED", timeout_s=5)
    shown = connection("enterprise-app", "compute-core")
    assert not ping(shown["src"], shown["dst_address"], count=1)
    answer("link", "up", "metro1-core1-ch5")
    wait_until(lambda: connection("enterprise-app", "compute-core")["state"] == "ACTIVE", timeout_s=10)
    assert ping(shown["src"], shown["dst_address"])


def test_a_cut_of_the_fibre_takes_all_data_and_all_qkd_and_is_undone_exactly(status: dict[str, Any]) -> None:
    """Papers 001 and 002, section 2: all channels and the quantum channel are on one fibre."""
    answer("risk", "down", FIBRE)
    try:
        assert {r["state"] for r in answer("risk", "list")} == {"down"}
        assert [f["target"] for f in answer("fault", "list")] == [FIBRE]
        wait_until(lambda: {c["state"] for c in answer("link", "list")} == {"down"}, timeout_s=10)
        sections = answer("keys")["sections"]
        assert {(s["state"], s["skr_bps"], s["cut"]) for s in sections} == {("stopped", 0, True)}
        wait_until(lambda: {c["state"] for c in connections()} == {"DEGRADED"}, timeout_s=10)
    finally:
        answer("fault", "clear", FIBRE)
    assert {r["state"] for r in answer("risk", "list")} == {"up"}
    wait_until(lambda: {c["state"] for c in answer("link", "list")} == {"up"}, timeout_s=10)
    wait_until(lambda: {s["state"] for s in answer("keys")["sections"]} == {"active"}, timeout_s=20)
    wait_until(lambda: {c["state"] for c in connections()} == {"ACTIVE"}, timeout_s=20)
    shown = connection("enterprise-app", "compute-core")
    wait_until(lambda: ping(shown["src"], shown["dst_address"], count=1), timeout_s=10)


def test_a_black_hole_is_left_although_its_port_says_up(status: dict[str, Any], mended: None) -> None:
    hole = connection("cdn", "cell1-compute")["path"][0]
    answer("link", "blackhole", hole)
    wait_until(lambda: hole not in connection("cdn", "cell1-compute")["path"], timeout_s=10)
    wait_until(lambda: connection("cdn", "cell1-compute")["state"] == "ACTIVE", timeout_s=10)
    shown = connection("cdn", "cell1-compute")
    assert ping(shown["src"], shown["dst_address"], count=1)
    assert next(c["state"] for c in answer("link", "list") if c["id"] == hole) == "up"
    answer("link", "up", hole)


def test_a_site_that_loses_power_comes_back_with_its_rules(status: dict[str, Any], mended: None) -> None:
    shown = connection("enterprise-app", "cell1-compute")
    answer("node", "down", "agg1")
    wait_until(lambda: connection("enterprise-app", "cell1-compute")["state"] == "DEGRADED", timeout_s=5)
    answer("node", "up", "agg1")
    wait_until(lambda: connection("enterprise-app", "cell1-compute")["state"] == "ACTIVE", timeout_s=20)
    wait_until(lambda: ping(shown["src"], shown["dst_address"], count=1), timeout_s=10)


def test_an_eavesdropper_is_seen_and_stops_the_section(status: dict[str, Any]) -> None:
    def section() -> dict[str, Any]:
        return next(s for s in answer("keys")["sections"] if s["id"] == "s2")

    assert section()["qber"] < 0.05
    answer("eavesdrop", "start", "s2")
    try:
        wait_until(lambda: section()["state"] != "active", timeout_s=30, interval_s=0.2)
        assert section()["qber"] > 0.2
        assert section()["skr_bps"] == 0
    finally:
        answer("eavesdrop", "stop", "s2")
    wait_until(lambda: section()["state"] == "active", timeout_s=30, interval_s=0.2)


def client(kme: str, directory: Path) -> QKD014Client:
    return QKD014Client(kme.removeprefix("https://"), *(str(directory / f"{n}.pem") for n in ("cert", "key", "ca")))


def test_a_client_that_nobody_here_wrote_gets_twins(status: dict[str, Any], tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        answer("pki", "issue", name, "--out", str(tmp_path / name))
    alice = client(status["kmes"]["cell1"], tmp_path / "alice")
    bob = client(status["kmes"]["core1"], tmp_path / "bob")
    code, container = alice.get_key("bob")
    assert code == 200
    code, twin = bob.get_key_with_key_IDs("alice", [container.keys[0].key_id])
    assert code == 200
    assert twin.keys[0].key == container.keys[0].key
    assert len(base64.b64decode(twin.keys[0].key)) == 32
    code, error = bob.get_key_with_key_IDs("alice", [container.keys[0].key_id])
    assert (code, error.message) == (400, "one or more keys specified are not found on KME")


def get(url: str, context: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(url, context=context, timeout=5 * PATIENCE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_strangers_get_nothing(status: dict[str, Any], tmp_path: Path) -> None:
    url = f"{status['kmes']['cell1']}/api/v1/keys/sae-core1/status"
    bare = ssl.create_default_context(cafile=status["ca"])
    with pytest.raises(OSError):
        get(url, bare)
    authority.ensure_ca(tmp_path / "other")
    authority.issue_sae(tmp_path / "other", "sae-cell1", tmp_path / "forged")
    forged = ssl.create_default_context(cafile=status["ca"])
    forged.load_cert_chain(tmp_path / "forged" / "cert.pem", tmp_path / "forged" / "key.pem")
    with pytest.raises(OSError):
        get(url, forged)
    answer("pki", "issue", "mallory", "--out", str(tmp_path / "mallory"))
    answer("pki", "issue", "carol", "--out", str(tmp_path / "carol"))
    carol = client(status["kmes"]["cell1"], tmp_path / "carol")
    mallory = client(status["kmes"]["core1"], tmp_path / "mallory")
    _, container = carol.get_key("sae-core1")
    code, _ = mallory.get_key_with_key_IDs("carol", [container.keys[0].key_id])
    assert code == 401


def test_an_independent_decoder_reads_what_crossed_a_channel(
    status: dict[str, Any], keylog: Path, tmp_path: Path
) -> None:
    shown = connection("enterprise-app", "compute-core")
    port = TOPOLOGY.port_of("metro1", shown["path"][0]).interface
    capture = tmp_path / "channel.pcap"
    marker = "0123456789abcdef" * 2
    tcpdump = subprocess.Popen(
        ["tcpdump", "--immediate-mode", "-U", "-i", port, "-w", str(capture)], stderr=subprocess.PIPE, text=True
    )
    assert tcpdump.stderr is not None
    assert "listening" in tcpdump.stderr.readline()
    done = qslice("exec", shown["src"], "--", "ping", "-c", "2", "-i", "0.2", "-p", marker, shown["dst_address"])
    assert done.returncode == 0, done.stderr
    # A frame of no meaning after them: when tcpdump has written it, it has written them.
    end = b"this is the end of the capture"
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((port, 0))
        out.send(bytes(12) + b"\x88\xb5" + end.ljust(46))
    wait_until(lambda: end in capture.read_bytes(), timeout_s=10)
    tcpdump.send_signal(signal.SIGINT)
    tcpdump.wait(timeout=10 * PATIENCE)
    assert bytes.fromhex(marker) not in capture.read_bytes()
    index = connection("enterprise-app", "compute-core")["src_address"].rpartition(".")[2]
    udp = 20000 + int(index) // 2
    table = [word for line in keylog.read_text().splitlines() for word in ("-o", f"uat:esp_sa:{line}")]
    decoded = subprocess.run(
        ["tshark", "-r", str(capture), "-o", "esp.enable_encryption_decode:TRUE", *table,
         "-d", f"udp.port=={udp},udpencap", "-Y", "icmp.type==8", "-T", "fields", "-e", "data.data"],
        capture_output=True, text=True, check=False, timeout=60 * PATIENCE,
    )  # fmt: skip
    assert marker in decoded.stdout, decoded.stderr


def test_no_key_stands_in_any_log(status: dict[str, Any], keylog: Path) -> None:
    keys = {line.split('"0x')[2][:64] for line in keylog.read_text().splitlines()}
    assert keys
    for log in LAYOUT.logs.glob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(key in text or base64.b64encode(bytes.fromhex(key)).decode() in text for key in keys), log


def test_what_is_secret_is_for_root_alone(status: dict[str, Any]) -> None:
    for path in [LAYOUT.token, *LAYOUT.pki.rglob("*key.pem"), *LAYOUT.run.glob("*.json"), *LAYOUT.run.glob("*.sock")]:
        assert path.stat().st_mode & 0o077 == 0, path
    for directory in (LAYOUT.state, LAYOUT.run):
        assert directory.stat().st_mode & 0o077 == 0


def test_everything_listens_on_loopback_or_the_management_network_only(status: dict[str, Any]) -> None:
    shown = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    for line in shown.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        if port in ("8080", "6653", "8443"):
            assert address == "127.0.0.1", line


def test_a_deleted_slice_leaves_no_address_rule_or_reservation(status: dict[str, Any]) -> None:
    request = load_example("cdn") | {"name": "short-lived"}
    before = reserved(), flows()
    made = answer("slice", "create", "-", stdin=yaml.safe_dump(request))
    assert flows() != before[1]
    answer("slice", "delete", "short-lived")
    assert (reserved(), flows()) == before
    addresses = qslice("exec", "agg1", "--", "ip", "-br", "addr").stdout
    assert not any(c["dst_address"] in addresses.split() for c in made["connections"])


def flows() -> dict[str, int]:
    count = {}
    for site in TOPOLOGY.site_names:
        dumped = subprocess.run(
            ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", TOPOLOGY.bridge(site)],
            capture_output=True,
            text=True,
            check=True,
        )
        count[site] = dumped.stdout.count("cookie=")
    return count
