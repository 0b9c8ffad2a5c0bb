"""`qslice test --offline`: a bundle sets a bare machine up that has no network, and QSlice runs there.

The machine is a minimal Debian 12 in a directory, with process, mount and network namespaces of its own; there is no
interface in it but the loopback's. Exit status: 0 everything held, 1 something did not, 3 this machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console.output import tell_early_end
from scripts.console.progress import Progress
from scripts.console.streams import INTERRUPTED
from scripts.errors import CommandError, DidNotHold
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.paths import REPOSITORY
from scripts.vm.host_settings import builder_environment, read_host_settings
from scripts.vm.tree import admit

PLACE = Path("/var/tmp")  # noqa: S108 - a fresh folder in it, of a name that nobody can have planted
SCRIPT = REPOSITORY / "scripts/offline/bare_machine.sh"
CLONE, BUNDLE = "/root/qslice", "/root/bundle.tar"
MAKE_S, STEP_S = 900.0, 1800.0
_SHOWN_LINES = 25

# The namespaces end with their first process, and that one with us: no mount, no process is left, whatever happens.
_NAMESPACES = (
    "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
)  # fmt: skip

IN_ONE_NAMESPACE = f"""
set -e
[ "$(ls /sys/class/net)" = lo ]
[ ! -e /usr/bin/python3 ]
cd {CLONE}
echo "== set-up from the bundle"
scripts/qslice setup --from {BUNDLE}
[ "$(ls /sys/class/net)" = lo ]
echo "== nothing is missing"
[ -z "$(scripts/qslice setup --json 2>&1 >/dev/null)" ]
echo "== a network"
scripts/qslice up --detach
scripts/qslice slice create --example cdn
address=$(scripts/qslice slice show cdn --json | .venv/bin/python -c '
import json, sys
print(next(c["dst_address"] for c in json.load(sys.stdin)["connections"] if c["src"] == "cell1"))')
scripts/qslice exec cell1 -- ping -c 3 -W 5 "$address"
scripts/qslice down
echo "== all of it"
"""


@dataclass(frozen=True)
class Outcome:
    """What was run there."""

    output: str
    status: int

    @property
    def held(self) -> bool:
        return self.status == 0 and self.output.rstrip().endswith("== all of it")


def rehearse(bundle: Path | None, progress: Progress) -> Outcome:
    """Make the bundle, unless there is one, and the bare machine; set it up and run there. Raises CommandError."""
    settings = read_host_settings(os.environ)
    with tempfile.TemporaryDirectory(prefix="qslice-offline-", dir=PLACE) as folder:
        root = Path(folder, "root")
        if bundle is None:
            bundle = Path(folder, "bundle.tar")
            progress.note("making a bundle")
            _need([str(REPOSITORY / "scripts/qslice"), "setup", "--bundle", str(bundle)], dict(os.environ))
        progress.note("making a bare Debian 12 (debootstrap)")
        root.mkdir(mode=0o755)
        _need([*_NAMESPACES, str(SCRIPT), "make", str(root), settings.mirror], builder_environment(settings))
        with tarfile.open(Path(folder, "tree.tar"), "w") as tar:
            tar.add(REPOSITORY, arcname=".", filter=admit)
        clone = root / CLONE.lstrip("/")
        clone.mkdir()
        with tarfile.open(Path(folder, "tree.tar")) as tar:
            tar.extractall(clone)  # noqa: S202 - ours, made just now
        (root / BUNDLE.lstrip("/")).hardlink_to(bundle) if _same_disk(bundle, root) else _copy(bundle, root)
        progress.note("setting it up without a network, and running QSlice there")
        inside = [*_NAMESPACES, "--net", str(SCRIPT), "run", str(root), "/bin/sh", "-c", IN_ONE_NAMESPACE]
        done = _run(inside, {"PATH": os.defpath + ":/usr/sbin:/sbin"}, STEP_S)
        return Outcome(done.stdout, done.returncode)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _copy(bundle: Path, root: Path) -> None:
    (root / BUNDLE.lstrip("/")).write_bytes(bundle.read_bytes())


def _run(command: Sequence[str], environment: dict[str, str], limit_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=limit_s, check=False,
    )  # fmt: skip


def _need(command: Sequence[str], environment: dict[str, str]) -> None:
    done = _run(command, environment, MAKE_S)
    if done.returncode != 0:
        raise DidNotHold(f"{' '.join(command[-4:])} ended with status {done.returncode}:\n{_end(done.stdout)}")


def _end(output: str) -> str:
    return "\n".join("    " + line for line in output.splitlines()[-_SHOWN_LINES:])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="qslice test --offline", description="A bundle sets a bare machine up that has no network.",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="take this one (default: make one)")
    options = parser.parse_args(argv)
    end_on_signals()
    try:
        with Progress("test --offline") as progress:
            outcome = rehearse(options.bundle, progress)
    except CommandError as error:
        return tell_early_end("qslice", str(error), error.exit_status, options.json)
    except KeyboardInterrupt:
        return tell_early_end("qslice", "interrupted; the bare machine is gone", INTERRUPTED)
    if options.json:
        print(json.dumps({"ok": outcome.held, "exit_status": outcome.status, "output": outcome.output}, indent=2))
    else:
        print(outcome.output if not outcome.held else _end(outcome.output))
        print("the bundle set a bare machine up without a network" if outcome.held else "it did NOT set it up")
    return 0 if outcome.held else 1


if __name__ == "__main__":
    sys.exit(main())
