"""What runs in the guest: what the Vagrantfile provisions, the tests that want its kernel, what README has a user type.
Nothing but the standard library, because the set-up has not run yet.

Says how it goes on the second serial line, one JSON object a line, and leaves a tar archive with all results on the
device that it is given.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import IO, Any

TREE = Path(__file__).resolve().parents[2]
RESULTS = TREE / "results/vm"
JOB = TREE / ".state/vm-job.json"
USER = "vagrant"  # as in the box, with sudo that asks for no password: build_root.sh
LOGS = TREE / ".state/logs"
PROGRESS = Path("/dev/ttyS1")

# What this machine is for: where one of these is missing, it proves nothing.
EXPECTED = ("kernel-datapath", "netem", "htb", "xfrm-esp", "xfrm-interface", "tun")

_START_S = 0.012
"""How long a Python interpreter takes to start and end on a processor of today."""
MOST_SLOWNESS = 50.0
_TOLD_LINES = 60
# Lines of pytest and of `bench scale` that say how far it is.
_TEST_LINE, _BENCH_LINE = r"::.*%\]$", r"bench scale: "
_LIMITS_S = {"set-up": 900.0, "capabilities": 300.0, "tests": 3000.0, "demo": 1800.0, "scale": 1800.0}
_SLOW_RUNS = 8
"""Slices on each network of `bench scale` where processors are computed."""


class Progress:
    """The line to the host."""

    def __init__(self, line: IO[str]) -> None:
        self._line = line

    def tell(self, **message: Any) -> None:
        self._line.write(json.dumps(message) + "\n")
        self._line.flush()


def run_step(
    progress: Progress, name: str, command: list[str], *, follow: str = "", slowness: float = 1.0
) -> dict[str, Any]:
    """Run a command to its end, its output in NAME.log; lines that match ``follow`` go to the host as well.

    It may take ``slowness`` times as long as such a step may.
    """
    progress.tell(step=name, state="started")
    started = time.monotonic()
    log = RESULTS / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        watchdog = subprocess.Popen(["sh", "-c", f"sleep {_LIMITS_S[name] * slowness}; kill -KILL {process.pid}"])
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
            output.flush()
            text = line.decode(errors="replace").strip()
            if follow and re.search(follow, text):
                progress.tell(step=name, state="running", line=text)
        status = process.wait()
        watchdog.kill()
        watchdog.wait()
    ended = {"step": name, "status": status, "seconds": round(time.monotonic() - started, 1)}
    progress.tell(**ended, state="ended")
    if status != 0:  # told at once: the archive comes when all is over, if it comes
        for line in log.read_bytes().splitlines()[-_TOLD_LINES:]:
            progress.tell(step=name, state="running", line=line.decode(errors="replace"))
    return ended


def measure_slowness(starts: int = 5) -> float:
    """How many times slower this machine is than a real one, at what the tests do most: starting programs."""
    started = time.monotonic()
    for _ in range(starts):
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    return min(MOST_SLOWNESS, (time.monotonic() - started) / (starts * _START_S))


def limits_factor(job: dict[str, Any], slowness: float) -> tuple[float, float]:
    """How slow the machine has been at its worst, and by how much limits of time grow: not on real processors."""
    slowness = max(slowness, measure_slowness())  # what else the host does changes
    return slowness, round(max(job["slowness"], slowness), 1) if job["slowness"] > 1 else 1.0


def scale_command(launcher: str, figures: Path, sites: list[int], slowness: float) -> list[str]:
    """What measures networks of so many sites and leaves its figures in a file."""
    bench = [launcher, "bench", "scale", "--json", "--sites", *map(str, sites)]
    if slowness > 1:
        bench += ["--runs", str(_SLOW_RUNS), "--slowness", f"{slowness:.1f}"]
    return ["sh", "-c", 'exec "$@" > "$0"', str(figures), *bench]


def missing_capabilities(doctor: Path) -> list[str]:
    """What this guest was to have and has not."""
    try:
        found = json.loads(doctor.read_text())["capabilities"]
    except (OSError, ValueError, KeyError):
        return list(EXPECTED)
    present = {entry["id"] for entry in found if entry["present"]}
    return [name for name in EXPECTED if name not in present]


def provisioned(vagrantfile: str) -> list[str]:
    """What the Vagrantfile has a new machine's root run, a line each; the port for the host is none of this guest's."""
    return re.findall(r'type: "shell", inline: "([^"]+)"', vagrantfile)


def typed(readme: str) -> list[str]:
    """What README has a user type once in the machine: what follows ``vagrant ssh`` in its block."""
    found = re.search(r"^    vagrant ssh\n((?:    .+\n)+)", readme, re.MULTILINE)
    return [] if found is None else [line.strip() for line in found[1].splitlines()]


def as_user(lines: list[str]) -> list[str]:
    """The command that logs the machine's user in and types the lines, the next when the last has succeeded."""
    return ["su", "-", USER, "-c", " && ".join(lines)]


def main(device: Path) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    job = json.loads(JOB.read_text())
    python, launcher = str(TREE / ".venv/bin/python"), str(TREE / "scripts/qslice")
    with PROGRESS.open("w") as line:
        progress = Progress(line)
        slowness = measure_slowness()
        progress.tell(step="processors", state="running", line=f"{slowness:.1f} times slower than real ones")
        boot = {"step": "boot", "status": 0, "seconds": float(Path("/proc/uptime").read_text().split()[0])}
        progress.tell(**boot, state="ended")
        lines = provisioned((TREE / "Vagrantfile").read_text(encoding="utf-8"))
        steps = [boot, run_step(progress, "set-up", ["sh", "-ec", "\n".join(lines)])]
        if steps[-1]["status"] == 0:
            steps.append(run_step(progress, "capabilities", [launcher, "doctor", "--json"]))
            (RESULTS / "capabilities.log").rename(RESULTS / "doctor.json")
            lacking = missing_capabilities(RESULTS / "doctor.json")
            steps[-1]["missing"] = lacking
            # Named one by one: collecting the whole suite takes minutes on computed processors.
            slowness = max(slowness, measure_slowness())  # what else the host does changes
            patience = max(job["patience"], slowness)
            files = sorted(str(path) for path in (TREE / "tests/integration").rglob("test_kernel_*.py"))
            tests = [python, "-m", "pytest", "-v", "-m", "needs_kernel_datapath", "-p", "no:cacheprovider", *files]
            tests += [f"--junitxml={RESULTS / 'junit.xml'}", *job["pytest_arguments"]]
            variables = ["QSLICE_REQUIRE_ALL=1", "QSLICE_REQUIRE_KERNEL=1", f"QSLICE_PATIENCE={patience:.1f}"]
            steps.append(run_step(progress, "tests", ["env", *variables, *tests], follow=_TEST_LINE))
            if job["demo"]:
                slowness, factor = limits_factor(job, slowness)
                lines = typed((TREE / "README.md").read_text(encoding="utf-8"))
                if factor > 1:  # no user has processors like these
                    lines[-1] += f" --slowness {factor:.1f}"
                steps.append({**run_step(progress, "demo", as_user(lines)), "typed": lines})
                if (TREE / "results/demo").is_dir():
                    shutil.copytree(TREE / "results/demo", RESULTS / "demo", dirs_exist_ok=True)
            if job["sites"]:
                slowness, factor = limits_factor(job, slowness)
                bench = scale_command(launcher, RESULTS / "scale.json", job["sites"], factor)
                steps.append(run_step(progress, "scale", bench, follow=_BENCH_LINE, slowness=factor))
                steps[-1]["slowness"] = factor
        kernel = Path("/proc/sys/kernel/osrelease").read_text().strip()
        (RESULTS / "steps.json").write_text(
            json.dumps({"kernel": kernel, "slowness": round(slowness, 1), "steps": steps}, indent=2)
        )
        if LOGS.is_dir():
            shutil.copytree(LOGS, RESULTS / "logs", dirs_exist_ok=True)
        with (RESULTS / "journal.log").open("wb") as journal:
            subprocess.run(["journalctl", "--no-pager", "--boot"], stdout=journal, stderr=journal, check=False)
        with device.open("wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            tar.add(RESULTS, arcname=".")
        progress.tell(step="results", state="ended", status=0, seconds=0.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
