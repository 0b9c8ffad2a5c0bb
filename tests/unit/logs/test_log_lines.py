"""What far-away people cause fills no disk: lines of a kind are counted, long ones cut, long files begun anew."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import controller.log_lines
import kms.log_lines
from scripts.files.log_rotation import LogRotation, rotate
from scripts.testbed.paths import REPOSITORY
from scripts.testbed.processes import spawn
from tests.support.wait import wait_until

BOTH = pytest.mark.parametrize("module", [kms.log_lines, controller.log_lines], ids=["kms", "controller"])


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def logger(module: ModuleType, time: Time) -> tuple[logging.Logger, io.StringIO]:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(module.LineLimit(time))
    handler.setFormatter(module.ShortLines("%(message)s"))
    log = logging.Logger("a process")
    log.addHandler(handler)
    return log, text


@BOTH
def test_fault_17_lines_of_one_kind_are_limited_and_others_are_not_held_back(module: ModuleType) -> None:
    time = Time()
    log, text = logger(module, time)

    def refuse(who: int) -> None:
        log.warning("client %d was refused", who)

    for who in range(10_000):
        refuse(who)
    log.error("something of another kind")
    lines = text.getvalue().splitlines()
    assert len(lines) == module.BURST + 1
    assert lines[-1] == "something of another kind"
    time.now += 1 / module.PER_S
    refuse(-1)
    refuse(-2)
    left_out = 10_000 - module.BURST
    assert text.getvalue().splitlines()[-1] == f"client -1 was refused ({left_out} more like this were left out)"


@BOTH
def test_fault_17_a_day_of_refusals_takes_a_bounded_file(module: ModuleType) -> None:
    time = Time()
    log, text = logger(module, time)
    for second in range(3_600):
        time.now = float(second)
        for _ in range(10):
            log.warning("refused")
    assert len(text.getvalue().splitlines()) <= module.BURST + 3_600 * module.PER_S + 1


@BOTH
def test_fault_17_a_line_has_an_end_whatever_somebody_sent(module: ModuleType) -> None:
    log, text = logger(module, Time())
    log.warning("refused: %s", "x" * 1_000_000)
    assert len(text.getvalue()) < module.MOST_CHARACTERS + 100


@pytest.mark.parametrize(
    ("module", "where", "load"),
    [
        ("kms.__main__", "kms.__main__", "load_config"),
        ("kms.tunnel.__main__", "kms.tunnel.process", "load_agent_config"),
        ("controller.process", "controller.process", "load_config"),
    ],
)
def test_fault_17_every_process_logs_through_the_limit(module: str, where: str, load: str, tmp_path: Path) -> None:
    """Each process' own command, up to where its logging is set up, and then a flood."""
    program = (
        f"import logging, sys, {module.partition('.')[0]}.__main__, {module} as process, {where}\n"
        "def flood(*arguments):\n"
        "    for n in range(5_000):\n"
        "        logging.getLogger('far.away').error('flood %d', n)\n"
        "    raise SystemExit(0)\n"
        f"{where}.{load} = flood\n"
        f"sys.argv = ['x', '--config', {str(tmp_path / 'none.json')!r}]\n"
        "process.main()\n"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stderr.count("ERROR far.away: flood") == kms.log_lines.BURST == controller.log_lines.BURST


@pytest.fixture
def chatty(tmp_path: Path) -> Path:
    config = tmp_path / "config"
    config.write_text("")
    return config


def test_fault_17_a_log_that_has_grown_long_begins_anew_under_a_process_that_goes_on_writing(
    tmp_path: Path, chatty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.files.log_rotation.LOOK_INTERVAL_S", 0.05)
    monkeypatch.setattr("scripts.files.log_rotation.rotate", lambda path: rotate(path, 50_000))
    path, old = tmp_path / "chatty.log", tmp_path / "chatty.log.1"
    rotation = LogRotation(tmp_path)
    child = spawn("tests.support.chatty_process", ["--config", str(chatty)], path)
    try:
        wait_until(lambda: old.exists() and b"line" in path.read_bytes(), 20)
        first = old.stat().st_ino
        wait_until(lambda: old.stat().st_ino != first and path.stat().st_size > 0, 20)
        assert not path.read_bytes().startswith(b"\0")  # no hole where the old lines were
        assert old.stat().st_size <= 50_000 + 1_000_000
        assert old.stat().st_mode & 0o777 == 0o600
    finally:
        child.kill()
        child.wait()
        rotation.close()


def test_fault_17_a_short_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("short\n")
    assert not rotate(path, 1_000)
    assert not rotate(tmp_path / "missing.log", 1_000)
    assert path.read_text() == "short\n"
