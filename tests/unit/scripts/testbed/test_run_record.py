"""The record of a run, also when it cannot be read or was written by another checkout."""

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts.testbed.cleanup import read_or_guess, ssl_of_others
from scripts.testbed.life import openvswitch
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import DamagedRecord, Process, RunRecord, lock_holder, read_record
from scripts.testbed.running_system import RunningSystem
from topologies.catalog import load


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(state=tmp_path / "state", run=tmp_path / "run")
    layout.make()
    return layout


def record_of(state: Path) -> RunRecord:
    return RunRecord(
        phase="ready", supervisor=Process.of(os.getpid()), topology=load("ukqntel").to_dict(), datapath="netdev",
        netem=False, api_url="http://127.0.0.1:8080", bridges=("qs-cell1",), interfaces=("qs-cell1-1",),
        ovs_ssl_before=("k", "c", "ca"), state=str(state),
    )  # fmt: skip


def test_a_record_reads_back_as_it_was_written(layout: Layout) -> None:
    record_of(layout.state).save(layout)
    assert read_record(layout) == record_of(layout.state)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({**asdict(record_of(Path("s"))), "colour": "red"})])
def test_a_record_that_cannot_be_read_is_cleaned_up_after_by_what_a_run_makes(
    text: str, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.record.write_text(text)
    with pytest.raises(DamagedRecord, match="down"):
        read_record(layout)
    monkeypatch.setattr(openvswitch, "read_ssl", lambda: None)
    guess = read_or_guess(layout)
    assert guess is not None
    for topology in (load("ukqntel"), load("metro-ring")):
        for site in topology.site_names:
            assert topology.bridge(site) in guess.bridges
            assert {port.interface for port in topology.ports(site)} <= set(guess.interfaces)
    assert not guess.supervisor.is_alive()


OURS = tuple(f"/a/checkout/.state/pki/switches/{name}.pem" for name in ("key", "cert", "ca"))
THEIRS = tuple(f"/etc/openvswitch/{name}.pem" for name in ("key", "cert", "ca"))


@pytest.mark.parametrize("present", [None, OURS, THEIRS])
def test_a_record_lost_with_the_power_is_guessed_where_open_vswitch_still_has_a_runs_certificate(
    present: tuple[str, str, str] | None, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvswitch, "read_ssl", lambda: present)
    guess = read_or_guess(layout)
    assert (guess is not None) == (present == OURS)
    assert ssl_of_others() == (THEIRS if present == THEIRS else None)
    if guess is not None:
        assert guess.ovs_ssl_before is None
        assert not guess.supervisor.is_alive()


def test_no_open_vswitch_has_nothing_of_a_run(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert read_or_guess(layout) is None


def test_whoever_holds_the_lock_is_the_supervisor(layout: Layout) -> None:
    assert lock_holder(layout) is None
    with layout.lock.open("w") as lock:
        assert lock_holder(layout) is None
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert lock_holder(layout) == Process.of(os.getpid())
    assert lock_holder(layout) is None


def test_a_command_of_another_checkout_uses_the_token_of_the_one_that_started_the_run(
    layout: Layout, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "token").write_text("theirs")
    system = RunningSystem(record_of(elsewhere), layout)
    assert system.northbound.token() == "theirs"
