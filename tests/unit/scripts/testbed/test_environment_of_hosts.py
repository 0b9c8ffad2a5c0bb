"""What runs inside a host sees what its user's shell has, and nothing that the launcher made for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.callers_environment import callers_environment
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import Process, RunRecord
from tests.support.launcher import environment
from topologies.catalog import ukqntel
from topologies.mininet_nodes import SiteHost

pytestmark = pytest.mark.needs_root

OURS = {
    "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8",
    "QSLICE_CALLER_NAMES": "PYTHONPATH LC_ALL PYTHONUTF8 PYTHONNOUSERSITE PYTHONSAFEPATH HOME PATH",
    "QSLICE_CALLER_PYTHONPATH": "/home/alice/lib", "QSLICE_CALLER_LC_ALL": "de_DE.UTF-8", "QSLICE_CALLER_UMASK": "0027",
    "QSLICE_CALLER_PATH": "/home/alice/bin", "QSLICE_CALLER_HOME": "/home/alice", "EDITOR": "ed",
}  # fmt: skip
THEIRS = {"PYTHONPATH": "/home/alice/lib", "LC_ALL": "de_DE.UTF-8", "HOME": "/home/alice", "EDITOR": "ed"}


def check(seen: dict[str, str]) -> None:
    assert {name: seen.get(name) for name in THEIRS} == THEIRS
    assert not {name for name in seen if name.startswith(("QSLICE_", "PYTHONUTF8", "PYTHONNOUSER", "PYTHONSAFE"))}
    assert seen["PATH"].split(":")[0] == "/home/alice/bin"


@pytest.fixture(autouse=True)
def without_what_ci_says_to_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QSLICE_REQUIRE_ALL", raising=False)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A run of which there is a host alone: a process in a network namespace of its own."""
    layout = Layout(tmp_path / "state", tmp_path / "run")
    layout.make()
    host = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    RunRecord(
        phase="ready", supervisor=Process.of(os.getpid()), topology=ukqntel().to_dict(), datapath="netdev", netem=False,
        api_url="", bridges=(), interfaces=(), ovs_ssl_before=None, state=str(layout.state),
        namespaces={"cell1": host.pid},
    ).save(layout)  # fmt: skip
    yield layout
    host.kill()
    host.wait()


def inside(layout: Layout, *words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """``exec cell1 -- WORDS``, as the launcher would start it."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom scripts.cli.main import prepared\n"
        "from scripts.testbed.paths import Layout\n"
        "arguments = prepared(['exec', 'cell1', '--', *sys.argv[3:]])\n"
        "arguments.run(arguments, Layout(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(layout.state), str(layout.run), *words], env=environment(**variables),
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_fault_28_exec_gives_the_users_environment(layout: Layout) -> None:
    done = inside(layout, sys.executable, "-S", "-c", "import json, os; print(json.dumps(dict(os.environ)))", **OURS)
    check(json.loads(done.stdout))


def test_fault_28_exec_gives_the_users_umask_and_the_usual_signals(layout: Layout) -> None:
    """Python ignores SIGPIPE, and so would every command that it becomes: `exec cell1 -- yes | head` went on."""
    done = inside(layout, "sh", "-c", "umask; grep SigIgn /proc/self/status", **OURS)
    mask, ignored = done.stdout.decode().splitlines()
    assert mask == "0027"
    assert int(ignored.partition(":")[2], 16) & (1 << 12) == 0
    yes = inside(layout, "sh", "-c", "yes | head -n 1; echo done", **OURS)
    assert (yes.stdout, yes.stderr) == (b"y\ndone\n", b"")


def test_fault_28_mininets_shells_give_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cell1 env` in Mininet's shell, and what functions on a host are started as."""
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    host = SiteHost("qs-env", environment=callers_environment())
    try:
        check(dict(line.partition("=")[::2] for line in host.cmd("env | grep -v ^PS1").splitlines()))
        out, _ = host.popen(["env"]).communicate(timeout=30)
        check(dict(line.partition("=")[::2] for line in out.decode().splitlines()))
    finally:
        host.terminate()


def test_without_the_launcher_the_environment_is_that_of_the_process() -> None:
    assert callers_environment({"A": "1", "PATH": "/bin:/sbin:/usr/bin:/usr/sbin"})["A"] == "1"
