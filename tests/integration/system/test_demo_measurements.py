"""The demo's measurements on a real data plane: each finds what is there, and finds it missing when it is."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from scripts.demo.run import run_demo
from scripts.measure.capture.channels import ChannelCapture
from scripts.measure.capture.plaintext_search import look_for_markers
from scripts.measure.errors import MeasurementError
from scripts.measure.link_cut import cut_and_watch
from scripts.measure.probes.isolation import check_isolation
from scripts.measure.probes.probers import Probers
from scripts.measure.programs.ping import PingResult, ping_all
from scripts.measure.rekey_load import load_across_rekeys
from scripts.measure.slices import create_slice, refresh_connections
from tests.support.line_system import PREFIX, REQUESTS, SITES, LineSystem
from tests.support.results_reference import ORIGIN_HEADING, unknown
from tests.support.silent_steps import SilentSteps
from tests.support.wait import PATIENCE

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.counts_packets]


class Provisioned:
    """A line system with both slices on it and probers on its hosts."""

    def __init__(self, **options):
        self.system = LineSystem(**options)

    def __enter__(self):
        self.system.__enter__()
        self.connections = [c for request in REQUESTS for c in create_slice(self.system, request).connections]
        self.probers = Probers(self.system, SITES).__enter__()
        return self

    def __exit__(self, *error):
        self.probers.__exit__(None, None, None)
        self.system.__exit__(*error)

    def refresh(self):
        return refresh_connections(self.system, REQUESTS)


def loss(results, connection):
    result = results[connection]
    assert isinstance(result, PingResult), result
    return result.loss_pct


def no_iperf(*_):
    raise MeasurementError("no iperf3")


def processes():
    """Command lines of what runs in the test's namespaces."""
    found = set()
    for site in SITES:
        pids = subprocess.run(
            ["ip", "netns", "pids", f"{PREFIX}-{site}"], capture_output=True, text=True
        ).stdout.split()
        found |= {Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids}
    return found


def test_a_whole_run_holds_and_cleans_up(tmp_path):
    with LineSystem() as system:
        report = run_demo(system, SilentSteps(), tmp_path, setup_s=1.5, requests=REQUESTS, rekeys=3)
        assert not processes()
    # How long the outage is depends on how busy the machine is.
    assert [c for c in report.checks if not c.ok and c.name != "outage"] == []
    document = report.to_dict()
    assert unknown({**document, "network": None}, "demo/report.json", ORIGIN_HEADING) == []
    alpha, beta = (s["connections"][0] for s in document["slices"])
    assert alpha["ciphertext_only"] is True
    assert beta["ciphertext_only"] is False
    assert alpha["rekeys"] >= 3
    assert alpha["rekey_loss"] == 0
    assert beta["rekeys"] is None
    assert alpha["iperf_mbps"] > 1
    assert 0 < document["slices"][0]["first_packet_ms"] < 5000 * PATIENCE
    assert document["isolation"]["pairs"] == 4
    assert document["failure"]["path_after"] == ["l2", "m1"]
    # What replaced the channel came 50 ms after the cut; how late beyond that is the machine's affair.
    assert document["failure"]["outage_ms"] > 45
    assert document["total_s"] > 1.5
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_plaintext_under_a_name_that_promises_encryption_is_found():
    with Provisioned(plaintext=True) as up:
        results = look_for_markers(up.system, up.probers, up.connections)
    assert not results["alpha/left-control"].ok
    assert not results["alpha/left-control"].ciphertext_only
    assert "readable on l1, m1" in results["alpha/left-control"].detail
    assert results["beta/left-compute"].ok


def test_capture_in_the_wrong_place_proves_nothing(monkeypatch):
    with Provisioned() as up:
        monkeypatch.setattr(up.system, "channel_interfaces", lambda channel: (f"{PREFIX}l2a", f"{PREFIX}l2b"))
        results = look_for_markers(up.system, up.probers, up.connections)
    assert not any(r.ok for r in results.values())
    assert not any(r.ciphertext_only for r in results.values())


def test_leaks_between_slices_are_found_and_a_tight_fabric_has_none():
    with Provisioned(leaky=True, plaintext=True) as up:
        leaky = check_isolation(up.system, up.probers, up.connections, wait_s=0.3)
    with Provisioned(plaintext=True) as up:
        tight = check_isolation(up.system, up.probers, up.connections, wait_s=0.3)
    assert (leaky.pairs, leaky.reachable) == (4, 4)
    assert (tight.pairs, tight.reachable) == (4, 0)
    assert leaky.unheard == tight.unheard == ()


def test_tunnel_without_selectors_leaks_into_the_other_slice():
    with Provisioned(leaky=True) as up:
        result = check_isolation(up.system, up.probers, up.connections, wait_s=0.3)
    assert result.reachable > 0
    assert any("forced out of q0" in leak for leak in result.leaks)


def test_dead_connection_fails_the_isolation_control_and_the_ping():
    with Provisioned() as up:
        up.system.link_down("m3")
        isolation = check_isolation(up.system, up.probers, up.connections, wait_s=0.3)
        pings = ping_all(up.system, up.connections, count=5, interval_s=0.01)
    assert isolation.control_reachable == 2
    assert len(isolation.unheard) == 2
    assert loss(pings, "beta/left-compute") == 100.0
    # A ping lost on a busy machine is not a dead connection.
    assert loss(pings, "alpha/left-control") < 100.0


def test_load_counts_what_a_fault_swallows():
    with Provisioned(heal_after_s=0.15) as up:
        (alpha, _) = up.connections
        cut = threading.Timer(0.3, up.system.link_down, ("l1",))
        cut.start()
        faulty = load_across_rekeys(up.system, up.probers, [alpha], rekeys=5)[alpha.id]
        cut.join()
        sound = load_across_rekeys(up.system, up.probers, [alpha], rekeys=2)[alpha.id]
    assert faulty.rekeys >= 5
    assert 0 < faulty.lost < faulty.sent
    assert (sound.lost, sound.duplicates) == (0, 0)
    assert sound.sent > 50


def test_rekeys_that_do_not_come_are_waited_for_no_longer_than_said():
    with Provisioned(rekey_s=1000) as up:
        result = load_across_rekeys(up.system, up.probers, up.connections[:1], rekeys=1, deadline_s=0.5)
    assert result["alpha/left-control"].rekeys == 0


def test_reroute_to_a_weaker_channel_is_not_security_kept():
    with Provisioned(heal_with="l3") as up:
        result = cut_and_watch(up.system, up.probers, up.connections, up.refresh, 0.3, 0.5)
    assert result.main.after.path == ("l3", "m1")
    assert not result.security_kept
    assert "l3 (none)" in result.shortcomings[0]


def test_cut_that_nobody_heals_is_an_outage_to_the_end():
    with Provisioned(heal_with=None) as up:
        result = cut_and_watch(up.system, up.probers, up.connections, up.refresh, 0.3, 0.5, restoration_timeout_s=0.5)
        restored = ping_all(up.system, up.connections[:1], count=3, interval_s=0.01)
    assert not result.security_kept
    assert result.main.outage.outage_ms > 500
    assert loss(restored, "alpha/left-control") == 0.0


def test_failing_measurements_become_failed_checks_and_the_rest_goes_on(tmp_path, monkeypatch):
    with LineSystem() as system:
        monkeypatch.setattr(
            "scripts.measure.capture.plaintext_search.ChannelCapture",
            lambda _, take_frame: ChannelCapture({"l1": "qdt-nowhere"}, take_frame),
        )
        monkeypatch.setattr("scripts.demo.run.iperf_together", no_iperf)
        monkeypatch.setattr("scripts.demo.run.check_isolation", lambda *_: int("no figure"))
        report = run_demo(system, SilentSteps(), tmp_path, requests=REQUESTS, rekeys=1)
    # How long the outage is depends on how busy the machine is.
    failed = {c.name: c.detail for c in report.checks if not c.ok and c.name != "outage"}
    assert set(failed) == {"ciphertext only", "isolation", "throughput"}
    assert "No such device" in failed["ciphertext only"]
    assert {"ping", "rekeys under load", "security kept", "nothing remains"} <= {c.name for c in report.checks if c.ok}
    assert not report.ok
    assert report.to_dict()["isolation"]["reachable"] is None


class InterruptedDuring(SilentSteps):
    def __init__(self, title):
        super().__init__()
        self._title = title

    def step(self, title, expected_s):
        if title.startswith(self._title):
            raise KeyboardInterrupt
        return super().step(title, expected_s)


def test_interrupt_leaves_no_process_behind(tmp_path):
    with LineSystem() as system:
        with pytest.raises(KeyboardInterrupt):
            run_demo(system, InterruptedDuring("try every pair"), tmp_path, requests=REQUESTS)
        assert all("xor_tunnel" in command for command in processes())


def test_refused_slice_is_a_failed_check_that_says_why(tmp_path, monkeypatch):
    problem = {"title": "Infeasible", "detail": "no QKD channel", "reasons": [{"where": "agg1-metro1"}]}
    with LineSystem() as system:
        real = system.api
        monkeypatch.setattr(
            system, "api", lambda method, path, body=None: (422, problem) if method == "POST" else real(method, path)
        )
        report = run_demo(system, SilentSteps(), tmp_path, requests=REQUESTS)
    details = [c.detail for c in report.checks if not c.ok]
    assert len(details) == 2
    assert all("HTTP 422: Infeasible no QKD channel" in d and "agg1-metro1" in d for d in details)


def test_slice_that_never_becomes_active_is_deleted_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.measure.slices.ACTIVE_TIMEOUT_S", 0.2)
    with LineSystem() as system:
        real = system.api

        def stuck(method, path, body=None):
            status, answer = real(method, path, body)
            return status, answer | {"state": "PROVISIONING"} if "connections" in answer else answer

        monkeypatch.setattr(system, "api", stuck)
        report = run_demo(system, SilentSteps(), tmp_path, requests=REQUESTS[:1])
    held = {c.name: c.ok for c in report.checks}
    assert held == {"provision alpha": False, "delete alpha": True, "nothing remains": True}
