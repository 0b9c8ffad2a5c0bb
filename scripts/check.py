"""`qslice test`: lint, then the test suite. Everything is run, so that one call shows all that is wrong.

Exit status: 0 all well, 1 a complaint or a failed test, 2 no test matches the request.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.vm import run as vm

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("controller", "topologies", "kms", "scripts", "tests")

# Without these: nothing that needs root, Open vSwitch or /dev/net/tun, nothing that takes long.
FAST = "not needs_root and not needs_ovs and not needs_tun and not slow"

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_WRONG_REQUEST = 2
EXIT_INTERRUPTED = 130
_PYTEST_USAGE_ERROR = 4
_PYTEST_NO_TESTS = 5


@dataclass(frozen=True)
class Counts:
    """What became of the tests; those that did not run at all (`errors`) failed in their set-up."""

    passed: int
    failed: int
    errors: int
    skipped: int
    seconds: float


def lint_commands(bin_dir: Path) -> dict[str, list[str]]:
    """The linters by name, in the order in which they run; `bin_dir` is the venv's."""
    return {
        "ruff check": [str(bin_dir / "ruff"), "check", "."],
        "ruff format": [str(bin_dir / "ruff"), "format", "--check", "."],
        "mypy": [str(bin_dir / "mypy"), *PACKAGES],
        "import contracts": [str(bin_dir / "lint-imports")],
    }


def pytest_command(*, is_fast: bool, arguments: Sequence[str], report: Path | None) -> list[str]:
    """pytest, with a JUnit report if one is asked for. The caller's own arguments come last, so that they win."""
    selection = ["-m", FAST] if is_fast else []
    reporting = [f"--junitxml={report}"] if report else []
    return [sys.executable, "-m", "pytest", *selection, *reporting, *arguments]


def exit_status(*, complaints: Sequence[str], pytest_status: int) -> int:
    """What `qslice test` says, after pytest's own exit status and the linters that complained."""
    if pytest_status in {_PYTEST_USAGE_ERROR, _PYTEST_NO_TESTS}:
        return EXIT_WRONG_REQUEST
    return EXIT_FAILED if complaints or pytest_status else EXIT_OK


def read_counts(report: Path) -> Counts | None:
    """The sums of a JUnit report (pytest writes one `testsuite`); None where pytest did not come to write it."""
    try:
        suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own pytest wrote it
    except (OSError, ET.ParseError):
        return None

    def total(attribute: str) -> int:
        return sum(int(suite.get(attribute, "0")) for suite in suites)

    failed, errors, skipped = total("failures"), total("errors"), total("skipped")
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    return Counts(total("tests") - failed - errors - skipped, failed, errors, skipped, round(seconds, 1))


def _run(command: Sequence[str], *, environment: dict[str, str], is_quiet: bool) -> int:
    """Run in the clone's root; with `is_quiet` what it prints goes to standard error."""
    output = sys.stderr if is_quiet else None
    return subprocess.run(list(command), cwd=ROOT, env=environment, stdout=output, check=False).returncode


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if os.geteuid() == 0:
        # The launcher has just installed all that the tests need: a test that lacks something now has found a defect.
        environment["QSLICE_REQUIRE_ALL"] = "1"
    return environment


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    if "--vm" in given:
        return vm.main([argument for argument in given if argument != "--vm"])
    parser = argparse.ArgumentParser(
        prog="qslice test",
        description="Lint and the test suite. Other arguments go to pytest.",
        allow_abbrev=False,
    )
    parser.add_argument("--fast", action="store_true", help="without slow tests and those that need root")
    parser.add_argument(
        "--vm", action="store_true", help="in a Debian 12 guest, what wants its kernel (see --vm --help)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options, arguments = parser.parse_known_args(given)
    environment = _environment()
    started = time.monotonic()

    complaints = []
    for name, command in lint_commands(Path(sys.executable).parent).items():
        print(f"== {name}", file=sys.stderr, flush=True)
        if _run(command, environment=environment, is_quiet=options.json) != 0:
            complaints.append(name)
    with tempfile.TemporaryDirectory(prefix="qslice-test-") as folder:
        report = Path(folder, "junit.xml") if options.json else None
        print("== pytest", file=sys.stderr, flush=True)
        command = pytest_command(is_fast=options.fast, arguments=arguments, report=report)
        pytest_status = _run(command, environment=environment, is_quiet=options.json)
        counts = read_counts(report) if report else None

    status = exit_status(complaints=complaints, pytest_status=pytest_status)
    if complaints:
        print(f"== complaints: {', '.join(complaints)}", file=sys.stderr)
    if options.json:
        document = {
            "ok": status == EXIT_OK,
            "complaints": complaints,
            "tests": asdict(counts) if counts else None,
            "total_s": round(time.monotonic() - started, 1),
        }
        print(json.dumps(document, indent=2))
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # pytest or the linter has had the signal as well, and has said so.
        sys.exit(EXIT_INTERRUPTED)
