"""Programs that a benchmark is compared with: installed on demand, each into a virtual environment of its own.

They are no part of what QSlice needs, so set-up leaves them alone; a benchmark's first run says what it installs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import EnvironmentLacks
from scripts.files.marked_folder import MarkedFolder

INSTALL_TIMEOUT_S = 900.0
_DONE = "installed.txt"


@dataclass(frozen=True)
class Peer:
    """``package`` is NAME==VERSION; ``lock`` is a file with it and all that it needs, each with its hashes."""

    name: str
    package: str
    lock: Path

    @property
    def version(self) -> str:
        return self.package.partition("==")[2]

    @property
    def _recipe(self) -> str:
        return self.lock.read_text(encoding="utf-8")

    def python(self, directory: Path, say: Callable[[str], None]) -> Path:
        """The interpreter of the peer's environment under ``directory``, which is made if need be.

        EnvironmentLacks when it cannot be, with pip's last words.
        """
        home = directory / self.name
        python = home / "bin" / "python"
        if (home / _DONE).is_file() and (home / _DONE).read_text(encoding="utf-8") == self._recipe:
            return python
        say(f"installing {self.package} and what it uses into {home}, once: a minute or so")
        # What an interrupted installation left is of no use.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (home / _DONE).is_file():  # of another recipe
            MarkedFolder(home, _DONE).remove()
        MarkedFolder(home).empty()
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        steps = (
            ("an environment of its own", [sys.executable, "-m", "venv", str(home)]),
            (self.package, [*install, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(self.lock)]),
        )
        for number, (what, argv) in enumerate(steps, start=1):
            say(f"{self.name}, {number} of {len(steps)}: {what}")
            self._run(argv)
        (home / _DONE).write_text(self._recipe, encoding="utf-8")
        return python

    def _run(self, argv: Sequence[str]) -> None:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise EnvironmentLacks(f"{self.name}: its installation took over {INSTALL_TIMEOUT_S:.0f} s") from None
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise EnvironmentLacks(
                f"{self.name} cannot be installed ({last[0]}): a Python package registry must be reachable; "
                "--no-peer measures without it"
            )


SEQUENCE = Peer("sequence", "sequence==0.8.5", Path(__file__).parent / "sequence-requirements.txt")
