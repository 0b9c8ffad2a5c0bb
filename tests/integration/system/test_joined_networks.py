"""Two of our networks on two machines, joined as with a vendor: one attaches the other's customer ports and fetches
its KMEs' keys. The second is a whole network of ours (:mod:`tests.support.second_machine`); its customer ports are at
its hosts, which carry frames from one to the other over a QKD connection of their own.

    machine 1:  west ======== eqw          eqe ======== east         a connection over the vendor's wire, with its keys
                               |            |
    machine 2:                va ----------- vb                      a QKD connection of the second network, VXLAN in it
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.launcher import environment, footprint, left_since
from tests.support.second_machine import Machine, second_machine, this_machine
from tests.support.wait import PATIENCE, wait_until
from tests.support.wrong_kme import FAULTS, WrongKme, credentials, serving

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

VENDOR = """\
name: vendor
sites:
  - {name: va, tier: cell}
  - {name: vb, tier: metro, vcpus: 4, memory_gb: 8}
fibres:
  - {a: va, b: vb, km: 5, channels: [qkd]}
"""
VENDORS_SLICE = """\
name: transport
sNSSAI: {sst: 1}
connections:
  - {name: wire, from: va, to: vb, security: qkd, bandwidth_mbps: 40, latency_ms: 50}
"""
JOINED = """\
name: joined
sites:
  - name: west
    tier: cell
    attach: eqw
    kme: {url: "https://kme-va:8443", ca: west/ca.pem, cert: west/cert.pem, key: west/key.pem, qkd_with: [east]}
  - name: east
    tier: metro
    vcpus: 4
    memory_gb: 8
    attach: eqe
    kme: {url: "https://kme-vb:8443", ca: east/ca.pem, cert: east/cert.pem, key: east/key.pem, qkd_with: [west]}
fibres:
  - {a: west, b: east, km: 5, channels: [none, dh]}
  - {name: vendors, a: west, b: east, km: 5, channels: [qkd], attached: true}
"""
SLICE = """\
name: over-both
sNSSAI: {sst: 1}
connections:
  - {name: secret, from: west, to: east, security: qkd, bandwidth_mbps: 5, latency_ms: 100, rekey_s: 1}
"""
KME_ADDRESSES = {"kme-va": "10.77.0.2", "kme-vb": "10.77.0.3"}


@dataclass
class Joined:
    ours: Machine
    vendor: Machine
    folder: Path
    up: Any
    found: dict[str, Any]
    before: dict[str, str]


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def state_of(interface: str) -> str:
    """What a run may change of an interface, and must put back."""
    (link,) = json.loads(ip("-json", "link", "show", "dev", interface))
    setting = Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
    ipv6 = setting.read_text().strip() if setting.exists() else ""
    qdisc = str(link.get("qdisc")).replace("noop", "noqueue")  # the kernel's words before, and after, it was first up
    return f"{link['mtu']} {link['flags']} {qdisc} {ipv6}"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Path]]:
    """The second network, up, its wire from customer port to customer port, its KMEs reachable, clients certified."""
    folder = tmp_path_factory.mktemp("joined")
    (folder / "vendor.yaml").write_text(VENDOR)
    (folder / "transport.yaml").write_text(VENDORS_SLICE)
    with second_machine() as machine:
        machine.answer("up", "--topo", str(folder / "vendor.yaml"), "--detach")
        try:
            wire = machine.answer("slice", "create", str(folder / "transport.yaml"), "--wait", "60")["connections"][0]
            assert (wire["key_source"], wire["state"]) == ("qkd", "ACTIVE")
            ends = ((wire["src_address"], wire["dst_address"]), (wire["dst_address"], wire["src_address"]))
            for (host, port), (local, remote) in zip((("va", "eqw"), ("vb", "eqe")), ends, strict=True):
                pid = str(machine.hosts_pid(host))
                ip("link", "add", port, "type", "veth", "peer", "name", "customer", "netns", pid)
                inside = ["nsenter", "-t", pid, "-n", "ip", "link"]
                for words in (
                    f"add wire type vxlan id 7 local {local} remote {remote} dstport 4789", "add join type bridge",
                    "set wire mtu 1600 master join up", "set customer mtu 1600 master join up", "set join up",
                ):  # fmt: skip
                    subprocess.run([*inside, *words.split()], check=True)
            management(machine)
            relay = ["10.77.0.2:8443=10.254.1.1:8443", "10.77.0.3:8443=10.254.2.1:8443"]
            command = [*machine.into, sys.executable, "-m", "tests.support.tcp_relay", *relay]
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as relaying:
                try:
                    assert relaying.stdout is not None
                    assert relaying.stdout.readline() == b"ready\n"
                    certify(machine, folder)
                    yield machine, folder
                finally:
                    relaying.kill()
        finally:
            machine.qslice("down")
            for port in ("eqw", "eqe"):
                subprocess.run(["ip", "link", "del", port], capture_output=True, check=False)


def management(machine: Machine) -> None:
    """A wire between the machines over which the vendor's KMEs are reached."""
    ip("link", "add", "eqm", "type", "veth", "peer", "name", "outside", "netns", str(machine.holder))
    ip("addr", "add", "10.77.0.1/24", "dev", "eqm")
    ip("link", "set", "eqm", "up")
    for address in KME_ADDRESSES.values():
        machine.run("ip", "addr", "add", f"{address}/24", "dev", "outside")
    machine.run("ip", "link", "set", "outside", "up")


def certify(machine: Machine, folder: Path) -> None:
    """One client's key and certificate are the vendor's; the other's key was made here and the vendor signs for it."""
    machine.qslice("pki", "issue", "CUSTOMER-EAST", "--out", str(folder / "east"))
    own = folder / "west"
    own.mkdir()
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=CUSTOMER-WEST", "-keyout", str(own / "key.pem"), "-out", str(own / "request.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    machine.qslice("pki", "sign", "--csr", str(own / "request.pem"), "--out", str(own))


@pytest.fixture(scope="module")
def joined(vendor: tuple[Machine, Path]) -> Iterator[Joined]:
    machine, folder = vendor
    (folder / "joined.yaml").write_text(JOINED)
    (folder / "slice.yaml").write_text(SLICE)
    before, left = {port: state_of(port) for port in ("eqw", "eqe")}, footprint()
    with this_machine(KME_ADDRESSES, folder) as ours:
        up = ours.answer("up", "--topo", str(folder / "joined.yaml"), "--detach")
        try:
            found = ours.answer("slice", "create", str(folder / "slice.yaml"), "--wait", "60")["connections"][0]
            yield Joined(ours, machine, folder, up, found, before)
        finally:
            down = ours.qslice("down", check=False)
    assert down.returncode == 0, down.stderr
    assert left_since(left) == {}
    assert {port: state_of(port) for port in before} == before


def ping(joined: Joined, *more: str) -> int:
    words = ("exec", "west", "--", "ping", "-c", "3", "-i", "0.2", "-W", "2", *more, joined.found["dst_address"])
    return joined.ours.qslice(*words, check=False).returncode


def test_a_qkd_connection_runs_over_both_networks(joined: Joined) -> None:
    found = joined.found
    assert (found["state"], found["key_source"], found["path"]) == ("ACTIVE", "qkd", ["vendors-qkd"])
    assert (found["key_links"], found["key_sections"]) == (["vendor:east-west"], {})
    before = tunnelled(joined.vendor, "va")
    wait_until(lambda: ping(joined) == 0, 20 * PATIENCE, 0.2)
    assert ping(joined, "-s", "1400") == 0
    assert tunnelled(joined.vendor, "va") > before + 3 * 1400


def tunnelled(machine: Machine, site: str) -> int:
    """Octets that the vendor's own tunnel has carried."""
    (stats,) = machine.answer("tunnel", "stats", site)["sites"][site]["connections"].values()
    return int(stats["tx_bytes"])


def test_its_keys_are_the_vendors_and_none_are_ours(joined: Joined) -> None:
    renewed = keys_of(joined)
    wait_until(lambda: keys_of(joined) != renewed, 20 * PATIENCE, 0.3)
    used = keys_of(joined)  # before the ledger is read: a key may follow in between
    ledger = json.loads(admin(joined.vendor, "/v1/ledger"))
    ids = {entry["key_ID"] for entry in ledger["entries"]}
    assert used <= ids
    ours = json.loads(admin(joined.ours, "/v1/ledger"))
    assert not {entry["key_ID"] for entry in ours["entries"]} & used
    shown = joined.ours.answer("keys")
    assert shown["sections"] == []
    assert "not known" in joined.ours.qslice("keys").stdout
    topology = json.loads(joined.ours.qslice("status", "--json").stdout)
    assert topology["vendor_kmes"] == {"west": "https://kme-va:8443", "east": "https://kme-vb:8443"}


def keys_of(joined: Joined) -> set[str]:
    stats = joined.ours.answer("tunnel", "stats", "west")["sites"]["west"]["connections"]
    return {stats["over-both/secret"]["key_id"]}


def admin(machine: Machine, path: str) -> str:
    done = machine.run("curl", "-s", "--unix-socket", "/run/qslice/kms.sock", f"http://kms{path}")
    return done.stdout


def test_kme_check_finds_nothing_against_the_vendors_kmes(joined: Joined) -> None:
    for site in ("west", "east"):
        report = joined.ours.answer("kme", "check", site)
        assert report["ok"], report
        assert {check["verdict"] for check in report["checks"]} == {"holds"}


def test_kme_check_finds_each_fault_of_a_wrong_one(tmp_path: Path, joined: Joined) -> None:
    a, b = credentials(tmp_path, "alice"), credentials(tmp_path, "bob")
    for fault, names in FAULTS.items():
        with serving(WrongKme(fault), tmp_path) as url:
            done = joined.ours.qslice(
                "kme", "check", url, "--cert", str(a / "cert.pem"), "--key", str(a / "key.pem"), "--ca",
                str(a / "ca.pem"), "--peer-cert", str(b / "cert.pem"), "--peer-key", str(b / "key.pem"), "--json",
                check=False,
            )  # fmt: skip
        assert done.returncode == 1
        found = {check["name"] for check in json.loads(done.stdout)["checks"] if check["verdict"] == "fails"}
        assert found == names, fault


def test_a_pair_that_nobody_vouches_for_is_not_called_qkd(joined: Joined) -> None:
    """The same wire and the same KMEs, but the operator does not say so: refused, and said why."""
    text = JOINED.replace("qkd_with: [east]", "qkd_with: []").replace("qkd_with: [west]", "qkd_with: []")
    (joined.folder / "unvouched.yaml").write_text(text)
    done = joined.ours.qslice("topo", "validate", str(joined.folder / "unvouched.yaml"))
    assert "no connection there is given keys of QKD" in done.stdout + done.stderr


def test_a_wire_that_the_vendor_cuts_is_noticed_and_mended(joined: Joined) -> None:
    pid = str(joined.vendor.hosts_pid("va"))

    def state() -> str:
        (shown,) = joined.ours.answer("slice", "show", "over-both")["connections"]
        return str(shown["state"])

    subprocess.run(["nsenter", "-t", pid, "-n", "ip", "link", "set", "wire", "down"], check=True)
    wait_until(lambda: state() == "DEGRADED", 30 * PATIENCE, 0.3)
    subprocess.run(["nsenter", "-t", pid, "-n", "ip", "link", "set", "wire", "up"], check=True)
    wait_until(lambda: state() == "ACTIVE", 60 * PATIENCE, 0.3)
    wait_until(lambda: ping(joined) == 0, 20 * PATIENCE, 0.2)


def test_keys_in_use_outlive_a_vendors_kme_that_goes_away(joined: Joined) -> None:
    joined.vendor.answer("kill", "kme-va")
    held = keys_of(joined)
    wait_until(lambda: "KeyRefused" in error_of(joined) or "kme" in error_of(joined), 20 * PATIENCE, 0.3)
    assert ping(joined) == 0
    assert keys_of(joined) == held
    joined.vendor.answer("restart", "kme-va")
    wait_until(lambda: keys_of(joined) != held, 30 * PATIENCE, 0.3)


def error_of(joined: Joined) -> str:
    stats = joined.ours.answer("tunnel", "stats", "west")["sites"]["west"]["connections"]
    return str(stats["over-both/secret"]["last_error"])
