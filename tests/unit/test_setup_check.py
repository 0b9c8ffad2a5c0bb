"""`qslice test`: which tests, which exit status, what is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scripts import check

REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"
time="4.56"/></testsuites>"""


@pytest.mark.parametrize(
    ("complaints", "pytest_status", "status"),
    [
        ([], 0, 0),
        (["mypy"], 0, 1),
        ([], 1, 1),
        ([], 2, 1),
        ([], 3, 1),
        ([], 4, 2),
        ([], 5, 2),
        (["mypy"], 5, 2),
        ([], -9, 1),
    ],
)
def test_exit_status(complaints: list[str], pytest_status: int, status: int) -> None:
    assert check.exit_status(complaints=complaints, pytest_status=pytest_status) == status


def test_counts_add_up(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(REPORT)
    assert check.read_counts(report) == check.Counts(passed=4, failed=2, errors=1, skipped=3, seconds=4.6)


@pytest.mark.parametrize("content", [None, "", "<testsuites>"])
def test_no_report_no_counts(tmp_path: Path, content: str | None) -> None:
    report = tmp_path / "junit.xml"
    if content is not None:
        report.write_text(content)
    assert check.read_counts(report) is None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[list[str]]]:
    """Replaces the linters and pytest by exit statuses; returns the commands as they come."""

    def prepare(lint_status: int, pytest_status: int) -> list[list[str]]:
        seen: list[list[str]] = []

        def run(command: Sequence[str], *, environment: dict[str, str], is_quiet: bool) -> int:
            seen.append(list(command))
            return pytest_status if "pytest" in command else lint_status

        monkeypatch.setattr(check, "_run", run)
        return seen

    return prepare


def test_all_linters_then_pytest(calls: Callable[[int, int], list[list[str]]]) -> None:
    seen = calls(0, 0)
    assert check.main([]) == 0
    assert [Path(command[0]).name for command in seen[:-1]] == ["ruff", "ruff", "mypy", "lint-imports"]
    assert "pytest" in seen[-1]
    assert "-m" not in seen[-1][3:]


def test_complaint_does_not_keep_the_tests_from_running(calls: Callable[[int, int], list[list[str]]]) -> None:
    seen = calls(1, 0)
    assert check.main([]) == 1
    assert len(seen) == 5


def test_arguments_go_to_pytest_and_win(calls: Callable[[int, int], list[list[str]]]) -> None:
    seen = calls(0, 0)
    check.main(["-k", "esp or replay", "--fast", "-x", "tests/unit"])
    assert seen[-1][-4:] == ["-k", "esp or replay", "-x", "tests/unit"]
    assert seen[-1][seen[-1].index("-m", 3) + 1] == check.FAST


def test_json_is_one_document(calls: Callable[[int, int], list[list[str]]], capsys: pytest.CaptureFixture[str]) -> None:
    calls(1, 1)
    assert check.main(["--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["complaints"] == ["ruff check", "ruff format", "mypy", "import contracts"]
    assert document["tests"] is None


def test_complete_machine_is_only_claimed_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QSLICE_REQUIRE_ALL", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "QSLICE_REQUIRE_ALL" not in check._environment()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert check._environment()["QSLICE_REQUIRE_ALL"] == "1"


SUITE = """
import pytest

@pytest.mark.needs_tun
def test_needing():
    pass

def test_free():
    pass
"""


@pytest.mark.parametrize(
    ("is_here", "require_all", "passed", "skipped", "errors"),
    [("True", "1", 2, 0, 0), ("False", "", 1, 1, 0), ("False", "1", 1, 0, 1)],
)
def test_test_that_lacks_something_is_skipped_but_fails_on_a_complete_machine(
    tmp_path: Path, is_here: str, require_all: str, passed: int, skipped: int, errors: int
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs_tun: tun\n")
    (tmp_path / "this_machine.py").write_text(
        f"from scripts import capabilities\ncapabilities.has_tun = lambda: {is_here}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rsE", "-p", "this_machine", "-p", "tests.conftest", "--junitxml=junit.xml"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{check.ROOT}", "QSLICE_REQUIRE_ALL": require_all},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = check.read_counts(tmp_path / "junit.xml")
    assert counts is not None, done.stdout + done.stderr
    assert (counts.passed, counts.skipped, counts.errors) == (passed, skipped, errors)
    assert ("needs TUN devices" in done.stdout) is (is_here == "False")


def test_runs_from_any_directory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.check", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(check.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--fast" in done.stdout
