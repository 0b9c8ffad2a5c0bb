"""`qslice test`: lint, then the test suite. Everything is run, so that one call shows all that is wrong.

Without further arguments several pytests run beside each other (scripts/checks/pytest_parts.py). Exit status: 0 all
well, 1 a complaint or a failed test, 2 no test matches the request, 128 and a signal's number when one ended it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from scripts.checks.lanes import world
from scripts.checks.pytest_parts import NEEDS, Job, Part, Reports, Tests
from scripts.console.streams import INTERRUPTED

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("controller", "topologies", "kms", "scripts", "tests")

# Without these: nothing that needs root, Open vSwitch or /dev/net/tun, nothing that takes long.
FAST = "not needs_root and not needs_ovs and not needs_tun and not slow"

LANES = 3
MOST_LANES = 8
MOST_OF_REST = 2  # each loads all files, a quarter of a minute of a processor's time

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_WRONG_REQUEST = 2
_SIGNALLED = 128  # and the signal's number, as shells have it
_PYTEST_USAGE_ERROR = 4
_PYTEST_NO_TESTS = 5


def lint_commands(bin_dir: Path) -> dict[str, list[str]]:
    """The linters by name, in the order in which they run; `bin_dir` is the venv's."""
    return {
        "ruff check": [str(bin_dir / "ruff"), "check", "."],
        "ruff format": [str(bin_dir / "ruff"), "format", "--check", "."],
        "mypy": [str(bin_dir / "mypy"), *PACKAGES],
        "import contracts": [str(bin_dir / "lint-imports")],
    }


def pytest_command(*, selection: str | None, arguments: Sequence[str], report: Path) -> list[str]:
    """pytest with a JUnit report. The caller's own arguments come last, so that they win."""
    marked = ["-m", selection] if selection else []
    return [sys.executable, "-m", "pytest", *marked, f"--junitxml={report}", *arguments]


def exit_status(*, complaints: Sequence[str], pytest_statuses: Collection[int]) -> int:
    """What `qslice test` says, after the exit status of every pytest and the linters that complained."""
    if _PYTEST_USAGE_ERROR in pytest_statuses or set(pytest_statuses) == {_PYTEST_NO_TESTS}:
        return EXIT_WRONG_REQUEST
    return EXIT_FAILED if complaints or any(pytest_statuses) else EXIT_OK


def _run(command: Sequence[str], *, environment: dict[str, str], is_quiet: bool) -> int:
    """Run in the clone's root; with `is_quiet` what it prints goes to standard error."""
    output = sys.stderr if is_quiet else None
    return subprocess.run(list(command), cwd=ROOT, env=environment, stdout=output, check=False).returncode


def jobs(folder: Path, lanes: int) -> dict[str, Job]:
    """The pytests that run the whole suite beside each other, by name; each leaves its report NAME.xml in ``folder``.
    Either part runs in ``lanes`` at most, the first on this machine and the others in worlds of their own."""
    return {
        part.value if number == 1 else f"{part.value}-{number}": _job(part, number, folder)
        for part, most in ((Part.NETWORKS, lanes), (Part.REST, min(lanes, MOST_OF_REST)))
        for number in range(1, most + 1)
    }


def _job(part: Part, number: int, folder: Path) -> Job:
    name = part.value if number == 1 else f"{part.value}-{number}"
    claims = folder / f"{part.value}-claims"
    claims.mkdir(exist_ok=True)
    arguments = [*lane_arguments(part, claims, on_outer_machine=number == 1), "-o", f"cache_dir=.pytest_cache/{name}"]
    command = pytest_command(selection=part.selection, report=folder / f"{name}.xml", arguments=arguments)
    if number > 1:
        command = world.command_in(world.STATE / "lanes" / str(number) if part is Part.NETWORKS else None, command)
    return Job(command, is_nice=part is Part.REST)


def lane_arguments(part: Part, claims: Path, *, on_outer_machine: bool) -> list[str]:
    """What has a pytest run the tests of one lane: those that it comes to claim first."""
    where = ["--lane-of-outer-machine"] if on_outer_machine else []
    # Loading every file takes a lane a quarter of a minute, and few have tests on networks.
    files = [f"--lane-file-names={name}" for name in NEEDS] if part is Part.NETWORKS else []
    # How many are done, of those that it will have been, nobody knows: no percentages.
    style = ["-o", "console_output_style=classic"]
    return ["-p", "scripts.checks.lanes.plugin", f"--lane-claims={claims}", *where, *files, *style]


def _run_tests(
    tests: Tests, selection: str | None, arguments: Sequence[str], folder: Path, lanes: int
) -> dict[str, int]:
    """Exit statuses of one pytest, or of several beside each other; each leaves its JUnit report in ``folder``."""
    if selection or arguments:
        print("== pytest", file=sys.stderr, flush=True)
        # A few tests, or something special, a debugger perhaps: the terminal is pytest's own.
        return {
            "tests": tests.run(pytest_command(selection=selection, arguments=arguments, report=folder / "tests.xml"))
        }
    if lanes > 1 and (why := world.why_none()):
        print(f"== one lane instead of {lanes}, as none can have a machine of its own here: {why}", file=sys.stderr)
        lanes = 1
    print("== pytest", file=sys.stderr, flush=True)
    return tests.run_all(jobs(folder, lanes))


def _repeat(failures: Mapping[str, str]) -> None:
    """Failures again, behind all that pytest printed: a CI system may show the end of it alone."""
    for failed, why in failures.items():
        print(f"== failed: {failed}", *why.splitlines(), sep="\n   ", file=sys.stderr)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if os.geteuid() == 0:
        # The launcher has just installed all that the tests need: a test that lacks something now has found a defect.
        environment["QSLICE_REQUIRE_ALL"] = "1"
    return environment


# Loaded when they are asked for: what they load has threads, and children of a process with threads that is killed are
# told of it once for each (PR_SET_PDEATHSIG), so that a second interruption would end the tests' clean-up.


def _run_vm(arguments: Sequence[str]) -> int:
    from scripts.vm import run

    return run.main(arguments)


def _run_offline(arguments: Sequence[str]) -> int:
    from scripts.offline import rehearsal

    return rehearsal.main(arguments)


def _run_long(arguments: Sequence[str]) -> int:
    from scripts.checks.soak import run

    return run.main(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    for option, run in (("--vm", _run_vm), ("--offline", _run_offline), ("--long", _run_long)):
        if option in given:
            return run([argument for argument in given if argument != option])
    parser = argparse.ArgumentParser(
        prog="qslice test",
        description="Lint and the test suite. Other arguments go to pytest.",
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--fast", action="store_true", help="without slow tests and those that need root")
    which.add_argument(
        "--part",
        choices=[part.value for part in Part],
        help="one of the two that are else run beside each other: tests that make networks, or the rest",
    )
    parser.add_argument(
        "--lanes", type=int, default=LANES, choices=range(1, MOST_LANES + 1), metavar="N",
        help=f"how many tests make networks at the same time (default: {LANES}), each on a machine of its own",
    )  # fmt: skip
    parser.add_argument(
        "--vm", action="store_true", help="in a Debian 12 guest, what wants its kernel (see --vm --help)"
    )
    parser.add_argument(
        "--offline", action="store_true", help="set a bare machine up without a network (see --offline --help)"
    )
    parser.add_argument(
        "--long",
        action="store_true",
        help="half an hour under load, in which processes may hardly grow (see --long --help)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--junitxml", "--junit-xml", type=Path, metavar="FILE", help="a JUnit report of the tests")
    options, arguments = parser.parse_known_args(given)
    selection = FAST if options.fast else Part(options.part).selection if options.part else None
    environment = _environment()
    started = time.monotonic()

    complaints = []
    for name, command in lint_commands(Path(sys.executable).parent).items():
        print(f"== {name}", file=sys.stderr, flush=True)
        if _run(command, environment=environment, is_quiet=options.json) != 0:
            complaints.append(name)
    with tempfile.TemporaryDirectory(prefix="qslice-test-") as folder:
        with Tests(ROOT, environment, sys.stderr if options.json else sys.stdout) as tests:
            statuses = _run_tests(tests, selection, arguments, Path(folder), options.lanes)
        reports = Reports({name: Path(folder, f"{name}.xml") for name in statuses})
    if options.junitxml:
        reports.write(options.junitxml)

    status = exit_status(complaints=complaints, pytest_statuses=statuses.values())
    if len(statuses) > 1:
        _repeat(reports.failures)
        print(f"== tests: {reports.counts or 'not all have run'}", file=sys.stderr)
    if complaints:
        print(f"== complaints: {', '.join(complaints)}", file=sys.stderr)
    if options.json:
        document = {
            "ok": status == EXIT_OK,
            "complaints": complaints,
            "tests": asdict(reports.counts) if reports.counts else None,
            "total_s": round(time.monotonic() - started, 1),
        }
        print(json.dumps(document, indent=2))
    return _SIGNALLED + tests.signals[0] if tests.signals else status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # The linter has had the signal as well, and has said so.
        sys.exit(INTERRUPTED)
