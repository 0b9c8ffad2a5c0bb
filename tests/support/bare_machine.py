"""A clone of the launcher on a machine of the test's making: its own PATH of fake system tools, its own lock."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.testbed.paths import REPOSITORY
from tests.support.wait import PATIENCE

ROOT = REPOSITORY
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# Replaces what would change the real machine. Each act is written down in $acts.
_HARMLESS = """
set -euo pipefail
trap 'exit 130' INT
qslice_root=$1
package_lists=("$qslice_root/scripts/setup/debian-packages.txt")
source "$qslice_root/scripts/setup/environment.sh"
lock_file=$qslice_root/../setup.lock
acts=$qslice_root/../acts
note() { echo "$*" >>"$acts"; }
missing_packages() { [[ -e $qslice_root/../has-packages ]] || printf '%s\\n' "$@"; }
finish_interrupted_dpkg() { note dpkg; }
apt_get() { note "apt-get $1"; [[ $1 != install ]] || touch "$qslice_root/../has-packages"; }
make_venv() { "$system_python" -m venv --system-site-packages --without-pip "$(venv)"; }
build_ryu() { note ryu; }
pip_install() { note "pip $#"; }
import_loops() { note loops; }
openvswitch_ready() { [[ -e $qslice_root/../ovs-runs ]]; }
start_openvswitch() { step "starting Open vSwitch" advice start_openvswitch_daemons; }
start_openvswitch_daemons() { note ovs; touch "$qslice_root/../ovs-runs"; }
"""


@dataclass
class BareMachine:
    """`clone` holds the launcher and its pieces; `folder` around it is the machine."""

    folder: Path
    clone: Path

    @classmethod
    def make(cls, folder: Path, clone_name: str = "a clone [2]") -> BareMachine:
        clone = folder / clone_name
        (clone / "scripts").mkdir(parents=True)
        shutil.copy2(ROOT / "scripts" / "qslice", clone / "scripts" / "qslice")
        shutil.copytree(ROOT / "scripts" / "setup", clone / "scripts" / "setup")
        shutil.copytree(ROOT / "scripts" / "cli" / "grammar", clone / "scripts" / "cli" / "grammar")
        for name in ("__init__.py", "cli/__init__.py", "cli/without_setup.py"):
            shutil.copy2(ROOT / "scripts" / name, clone / "scripts" / name)
        loops = ("kms/tunnel/packet/compiled_loops.py", "kms/tunnel/cards/compiled_io.py")
        for name in ("pyproject.toml", "constraints.txt", *loops):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
        (folder / "bin").mkdir()
        return cls(folder, clone)

    def put_tool(self, name: str, script: str) -> None:
        """A command that is found before the system's."""
        self.put_script(self.folder / "bin" / name, script)

    def put_script(self, path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'bin'}:{SYSTEM_PATH}", "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def launch(
        self, *arguments: str, launcher: Path | None = None, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher itself."""
        return subprocess.run(
            [str(launcher or self.clone / "scripts" / "qslice"), *arguments],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )

    def start(self, code: str) -> subprocess.Popen[str]:
        """Start bash code with the set-up's functions, those that would change the machine replaced.

        The process leads a group of its own, as a terminal's foreground job does.
        """
        return subprocess.Popen(
            ["/bin/bash", "-c", _HARMLESS + code, "setup", str(self.clone)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def bash(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run such code to its end."""
        process = self.start(code)
        out, err = process.communicate(timeout=60 * PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def acts(self) -> list[str]:
        """What has been done to the machine since the last call."""
        path = self.folder / "acts"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines
