"""`qslice test`: which tests, which exit status, what is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from scripts.checks import check
from scripts.checks.lanes import world
from scripts.checks.pytest_parts import Job, Part, Reports, Tests


@pytest.mark.parametrize(
    ("complaints", "pytest_statuses", "status"),
    [
        ([], [0], 0),
        (["mypy"], [0], 1),
        ([], [1], 1),
        ([], [2], 1),
        ([], [3], 1),
        ([], [4], 2),
        ([], [5], 2),
        (["mypy"], [5], 2),
        ([], [-9], 1),
        ([], [0, 0], 0),
        ([], [0, 1], 1),
        ([], [1, 0], 1),
        ([], [0, -2], 1),
        ([], [0, 4], 2),
        ([], [5, 0], 1),  # a whole part without a test is a defect of the suite
        ([], [5, 5], 2),
        (["mypy"], [0, 0], 1),
    ],
)
def test_exit_status(complaints: list[str], pytest_statuses: list[int], status: int) -> None:
    assert check.exit_status(complaints=complaints, pytest_statuses=pytest_statuses) == status


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[list[str]]]:
    """Replaces the linters and pytest by exit statuses; returns the commands as they come."""

    def prepare(lint_status: int, pytest_status: int) -> list[list[str]]:
        seen: list[list[str]] = []

        def lint(command: Sequence[str], *, environment: dict[str, str], is_quiet: bool) -> int:
            seen.append(list(command))
            return lint_status

        def one(_: Tests, command: Sequence[str]) -> int:
            seen.append(list(command))
            return pytest_status

        def several(_: Tests, jobs: Mapping[str, Job]) -> dict[str, int]:
            seen.extend(list(job.command) for job in jobs.values())
            return {name: pytest_status if name.startswith("rest") else 0 for name in jobs}

        monkeypatch.setattr(check, "_run", lint)
        monkeypatch.setattr(Tests, "run", one)
        monkeypatch.setattr(Tests, "run_all", several)
        monkeypatch.setattr(world, "why_none", lambda: "")
        return seen

    return prepare


def test_all_linters_then_pytest(calls: Callable[[int, int], list[list[str]]]) -> None:
    seen = calls(0, 0)
    assert check.main([]) == 0
    linters, pytests = seen[:4], seen[4:]
    assert [Path(command[0]).name for command in linters] == ["ruff", "ruff", "mypy", "lint-imports"]
    assert [selection_of(command) for command in pytests] == [Part.NETWORKS.selection] * 3 + [Part.REST.selection] * 2


def selection_of(command: Sequence[str]) -> str:
    """pytest's `-m`; Python's own comes before it."""
    return command[command.index("-m", command.index("pytest")) + 1]


def claims_of(command: Sequence[str]) -> list[str]:
    return [word for word in command if word.startswith("--lane-claims=")]


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_lanes_share_their_tests_and_one_alone_has_those_of_the_outer_machine(
    calls: Callable[[int, int], list[list[str]]], lanes: int
) -> None:
    seen = calls(0, 0)
    assert check.main(["--lanes", str(lanes)]) == 0
    networks, rest = seen[4 : 4 + lanes], seen[4 + lanes :]
    for part, commands, number in ((Part.NETWORKS, networks, lanes), (Part.REST, rest, min(lanes, 2))):
        assert [selection_of(command) for command in commands] == [part.selection] * number
        assert len({tuple(claims_of(command)) for command in commands}) == 1
        assert ["--lane-of-outer-machine" in command for command in commands] == [True] + [False] * (number - 1)
        assert ["unshare" in command for command in commands] == [False] + [True] * (number - 1)
    assert claims_of(networks[0]) != claims_of(rest[0])


def test_a_machine_without_worlds_has_one_lane_and_says_so(
    calls: Callable[[int, int], list[list[str]]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = calls(0, 0)
    monkeypatch.setattr(world, "why_none", lambda: "unshare failed: Operation not permitted")
    assert check.main([]) == 0
    assert [selection_of(command) for command in seen[4:]] == [part.selection for part in Part]
    assert "one lane instead of 3" in capfd.readouterr().err


@pytest.mark.parametrize("lanes", ["0", "9", "many"])
def test_a_wrong_number_of_lanes_is_a_wrong_request(lanes: str) -> None:
    with pytest.raises(SystemExit) as ended:
        check.main(["--lanes", lanes])
    assert ended.value.code == 2


def test_complaint_does_not_keep_the_tests_from_running(calls: Callable[[int, int], list[list[str]]]) -> None:
    seen = calls(1, 0)
    assert check.main([]) == 1
    assert len(seen) == 9


def test_a_failure_beside_the_networks_counts(calls: Callable[[int, int], list[list[str]]]) -> None:
    calls(0, 1)
    assert check.main([]) == 1


@pytest.mark.parametrize("part", list(Part))
def test_a_part_alone_is_one_pytest(calls: Callable[[int, int], list[list[str]]], part: Part) -> None:
    seen = calls(0, 0)
    assert check.main(["--part", part.value, "-x"]) == 0
    assert len(seen) == 5
    assert seen[-1][seen[-1].index("-m", 3) + 1] == part.selection
    assert seen[-1][-1] == "-x"


def test_what_goes_to_pytest_goes_to_one(calls: Callable[[int, int], list[list[str]]]) -> None:
    seen = calls(0, 0)
    check.main(["-k", "esp"])
    assert len(seen) == 5
    assert "-m" not in seen[-1][3:]


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
        f"from scripts.setup import capabilities\ncapabilities.has_tun = lambda: {is_here}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rsE", "-p", "this_machine", "-p", "tests.conftest", "--junitxml=junit.xml"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{check.ROOT}", "QSLICE_REQUIRE_ALL": require_all},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = Reports({"tests": tmp_path / "junit.xml"}).counts
    assert counts is not None, done.stdout + done.stderr
    assert (counts.passed, counts.skipped, counts.errors) == (passed, skipped, errors)
    assert ("needs TUN devices" in done.stdout) is (is_here == "False")


def test_runs_from_any_directory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.checks.check", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(check.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--fast" in done.stdout
