"""A machine of its own for a lane: namespaces for network, mounts and processes, with an Open vSwitch of its own.

What a lane leaves behind goes with its first process, which this module is: the kernel ends all that descended from it
and forgets its network. Files are the outer machine's, but for those that a run makes: `/run`, `.state`, the switch's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[3]
STATE = ROOT / ".state"

_TRIAL_S = 60.0

# As `scripts/qslice setup` starts it. The file asks for its caller's variables.
_START_SWITCH = (
    'qslice_root=$1 package_lists=none; source "$1/scripts/setup/environment.sh" &&'
    " start_openvswitch_daemons && openvswitch_answers_soon"
)


def command_in(state: Path | None, command: Sequence[str]) -> list[str]:
    """How ``command`` is run in a world of its own; its exit status is the same. The world keeps in ``state`` what else
    would be in `.state`; without one it has no Open vSwitch either. An interruption of the process group is passed on
    to ``command`` and what that has started; it is interrupted as well when whoever started it is killed."""
    return [
        "setpriv", "--pdeathsig", "KILL",
        # Held back until it is waited for: the first process of a namespace is spared what it does not handle yet.
        "env", "--block-signal=INT",
        "unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child=INT",
        sys.executable, "-m", "scripts.checks.lanes.world", str(state or ""), *command,
    ]  # fmt: skip


def why_none() -> str:
    """Why no world can be made here; empty where one can. Tried without Open vSwitch."""
    try:
        done = subprocess.run(
            command_in(None, ["true"]), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_TRIAL_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or f"exit status {done.returncode}"


def main(state: Path | None, command: Sequence[str]) -> int:
    """The first process of the world: makes it, runs ``command``, and waits for whoever has lost its parent."""
    _make_places(state)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if state:
        _start_switch()
    # A group of its own: what comes to ours is passed on once.
    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_let_interruptions_in)

    def interrupt(number: int, _: FrameType | None) -> None:
        os.killpg(started.pid, number)

    signal.signal(signal.SIGINT, interrupt)
    _let_interruptions_in()
    while True:
        pid, status = os.wait()
        if pid == started.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _let_interruptions_in() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _make_places(state: Path | None) -> None:
    """Empty ones where a run would meet the outer machine's; /sys shows this world's interfaces."""
    _mount("-t", "sysfs", "none", "/sys")
    _mount("-t", "tmpfs", "-o", "mode=755", "none", "/run")
    Path("/run/lock").mkdir()
    if state is None:
        return
    for place in (Path("/etc/openvswitch"), Path("/var/log/openvswitch")):
        place.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=755", "none", str(place))
    for folder in (STATE, state):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _mount("--bind", str(state), str(STATE))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _start_switch() -> None:
    done = subprocess.run(
        ["bash", "-c", _START_SWITCH, "lane", str(ROOT)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"Open vSwitch did not start in the lane's world:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]) if sys.argv[1] else None, sys.argv[2:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"no world for a lane: {error}")
