"""What the soak calls growth, and what it draws of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from kms.tunnel.protocol.counters import Counters
from scripts.checks.soak import load, run
from scripts.checks.soak.growth import KEPT_ALIVE, Sample, growth
from scripts.checks.soak.load import LATE, ON_THE_HOST, WRONG, requests
from scripts.console.streams import INTERRUPTED
from scripts.errors import CommandError, DidNotHold, EnvironmentLacks
from scripts.measure.process_usage import Usage, usage_of
from scripts.report.line_chart import draw_lines
from tests.support.wait import wait_until


def samples(memory_kb: list[int], descriptors: int = 10, more: int = 0, threads: int = 1) -> list[Sample]:
    """One every ten seconds; of descriptors ``more`` at the end."""
    last = len(memory_kb) - 1
    return [
        Sample(10.0 * n, {"agent": Usage(kb, descriptors + (more if n > last - 6 else 0), threads, 0.02 * n)})
        for n, kb in enumerate(memory_kb)
    ]


def faults(found: list[Sample], warm_up_s: float = 120.0) -> list[str]:
    return [fault for each in growth(found, warm_up_s) for fault in each.faults()]


def test_what_grows_before_the_warm_up_is_over_is_no_fault() -> None:
    assert faults(samples([1000 + 100 * min(n, 12) for n in range(60)])) == []


def test_slow_growth_is_found_and_told_in_kilobytes() -> None:
    (fault,) = faults(samples([10_000 + 20 * n for n in range(180)]))
    assert fault.startswith("agent has grown by 3")
    assert fault.endswith("KB")


def test_one_sample_in_the_middle_of_something_is_no_growth() -> None:
    memory = [10_000] * 60
    memory[-2] = 20_000
    assert faults(samples(memory)) == []


def test_more_descriptors_than_are_kept_alive_are_a_fault() -> None:
    assert faults(samples([10_000] * 60, more=KEPT_ALIVE)) == []
    assert faults(samples([10_000] * 60, more=KEPT_ALIVE + 1)) == ["agent has 19 descriptors, and had 10"]


def test_time_on_the_processor_is_its_share_of_one() -> None:
    (each,) = growth(samples([10_000] * 60), 120.0)
    assert each.cpu_share == pytest.approx(0.002)


def test_a_packet_that_a_tunnel_has_refused_as_not_its_peers_is_a_fault() -> None:
    good = {"rx_packets": 5, "rx_replay_drops": 3, "rx_copies": 2, "tx_socket_drops": 1}  # the network's doing
    assert run.lost_in_tunnels({"cell1": {"a": good, "b": good}, "core1": {}}, 1000) == []
    bad = {**good, "rx_auth_failures": 1}
    (fault,) = run.lost_in_tunnels({"cell1": {"a": bad}, "core1": {"a": good}}, 1000)
    assert fault == "tunnels have lost 1 of 1000 packets (rx_auth_failures)"


def test_a_few_packets_that_came_late_are_no_fault_and_many_are() -> None:
    late = {"cell1": {"a": {"rx_expired_drops": 6}, "b": {"rx_unknown_spi": 4}}}
    assert run.lost_in_tunnels(late, 200) == []
    assert len(run.lost_in_tunnels(late, 199)) == 2


def test_processes_stand_still_in_turn_go_on_and_are_left_alone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "STALL_S", 0.0)
    monkeypatch.setattr(load, "STALL_EVERY_S", 0.0)
    told: list[tuple[int, signal.Signals]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: told.append((pid, number)))
    stalls = load.Stalls([7, 8])
    for _ in range(20):
        stalls.go_on()
    stalls.end()
    turns = load.STALL_ROUNDS * [7, 8]
    assert told == [(pid, number) for pid in turns for number in (signal.SIGSTOP, signal.SIGCONT)]


def test_who_stands_still_when_a_soak_ends_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "STALL_EVERY_S", 0.0)
    child = subprocess.Popen(["sleep", "60"])
    try:
        stalls = load.Stalls([child.pid])
        stalls.go_on()
        wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "T", 5)
        stalls.end()
        wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "S", 5)
    finally:
        child.kill()
        child.wait()


def test_nobody_stands_still_once_the_warm_up_is_over() -> None:
    turns = load.STALL_ROUNDS * len(run.STALLED)
    assert turns * (load.STALL_S + load.STALL_EVERY_S) < 60 * run.WARM_UP_MINUTES


def test_what_counts_as_lost_is_counted_by_every_tunnel() -> None:
    assert {*WRONG, *LATE} <= set(Counters().as_dict())


def test_too_little_is_not_judged() -> None:
    with pytest.raises(ValueError, match="say nothing"):
        growth(samples([1] * 13), 120.0)


def test_usage_is_that_of_the_process() -> None:
    before = usage_of(os.getpid())
    kept = bytearray(64 << 20)
    kept[:] = b"x" * len(kept)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with open(os.devnull, "rb"):
        after = usage_of(os.getpid())
    stop.set()
    thread.join()
    assert after.memory_kb - before.memory_kb > 60_000
    assert after.descriptors == before.descriptors + 1
    assert after.threads == before.threads + 1
    with pytest.raises(ProcessLookupError):
        usage_of(2**22 + 1)


def test_a_process_that_has_ended_is_told_by_its_name_also_before_anybody_has_waited_for_it() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(DidNotHold, match=rf"^kms \(process {child.pid}\) has ended$"):
            run._usage({"kms": child.pid})


@pytest.mark.parametrize("words", [["--minutes", "2.3"], ["--minutes", "nan"], ["--connections", "0"]])
def test_too_short_a_soak_is_refused_before_it_begins(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        run.main(words)
    assert refused.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("error", [EnvironmentLacks("no room"), DidNotHold("a slice")])
def test_what_ends_a_soak_early_is_told_in_json_too(
    error: CommandError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> dict[str, object]:
        raise error

    monkeypatch.setattr(run, "_soak", fail)
    monkeypatch.setattr(run, "end_on_signals", lambda: None)
    assert run.main(["--json"]) == error.exit_status
    told = json.loads(capsys.readouterr().out)
    assert told == {"ok": False, "error": str(error), "exit_status": error.exit_status}


def test_ctrl_c_ends_a_soak_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_soak", interrupted)
    monkeypatch.setattr(run, "end_on_signals", lambda: None)
    assert run.main([]) == INTERRUPTED


@pytest.mark.parametrize(("connections", "slices"), [(1, 1), (3, 1), (4, 2), (50, 17)])
def test_as_many_slices_as_give_the_connections(connections: int, slices: int) -> None:
    wanted = requests(connections)
    assert len(wanted) == slices
    assert ON_THE_HOST * slices >= connections
    assert len({request["name"] for request in wanted}) == slices


def test_the_chart_is_one_svg_with_a_line_and_a_label_each() -> None:
    lines = {"a & b": [(0.0, 100.0), (1.0, 104.0)], "c": [(0.0, 100.0), (1.0, 100.0)]}
    root = ET.fromstring(draw_lines("Memory", "minutes", "%", lines, limit=105.0))
    space = "{http://www.w3.org/2000/svg}"
    strokes = [path for path in root.iter(f"{space}path") if path.get("fill") == "none"]
    assert len(strokes) == 2
    assert {"a & b", "c"} <= {text.text for text in root.iter(f"{space}text")}
    assert draw_lines("nothing", "", "", {}).startswith("<svg")
