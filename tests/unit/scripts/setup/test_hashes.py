"""What pip installs is byte for byte what was pinned: an index, or who sits before it, cannot put in something else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scripts.bench.peer_venv import SEQUENCE, Peer
from scripts.errors import EnvironmentLacks
from scripts.testbed.paths import REPOSITORY
from tests.support.bare_machine import BareMachine
from tests.support.small_wheel import make_wheel

LOCKS = [REPOSITORY / "constraints.txt", REPOSITORY / "scripts/setup/build-tools.txt", SEQUENCE.lock]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_fault_24_every_package_is_pinned_with_hashes(lock: Path) -> None:
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^ ]+( +--hash=sha256:[0-9a-f]{64})+", line), line


def test_fault_24_nothing_installs_without_hashes() -> None:
    """Every place in the tree that calls pip."""
    for path in [
        *REPOSITORY.glob("scripts/**/*.py"),
        *REPOSITORY.glob("scripts/**/*.sh"),
        REPOSITORY / "scripts/qslice",
    ]:
        text = path.read_text()
        for call in re.finditer(r"-m[\", ]+pip\b", text):
            near = text[call.start() : call.start() + 900]
            words = near.partition("\n}\n")[0]
            assert not re.search(r"(?<![_\w])install\b", words) or "--require-hashes" in words, path


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    machine = BareMachine.make(tmp_path)
    assert machine.bash('"$system_python" -m venv --system-site-packages "$(venv)"').returncode == 0
    return machine


def install(machine: BareMachine, sha256: str) -> subprocess.CompletedProcess[str]:
    """The product's own call of pip, from a folder in place of the index."""
    (machine.folder / "lock").write_text(f"leaf==1.0 --hash=sha256:{sha256}\n")
    real = 'source <(sed -n "/^pip_install()/,/^}/p" "$qslice_root/scripts/setup/environment.sh")'
    settings = f"export PIP_NO_INDEX=1 PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS='{machine.folder}/index'"
    return machine.bash(f'{settings}\n{real}\npip_install "$qslice_root/../lock" --only-binary :all:')


def test_fault_24_set_up_takes_what_was_pinned_alone(machine: BareMachine) -> None:
    good = make_wheel(machine.folder / "index", "good")
    assert install(machine, good).returncode == 0
    says = [str(machine.clone / ".venv/bin/python"), "-c", "import leaf; print(leaf.SAYS)"]
    assert subprocess.run(says, capture_output=True, text=True, check=True).stdout == "good\n"

    subprocess.run([*says[:1], "-m", "pip", "uninstall", "-y", "-q", "leaf"], check=True)
    make_wheel(machine.folder / "index", "evil")
    refused = install(machine, good)
    assert refused.returncode != 0
    assert "leaf" in refused.stderr
    assert subprocess.run(says, capture_output=True, check=False).returncode != 0

    # The same with the defence off: pip takes whatever the index has under the name and version.
    naive = [*says[:1], "-m", "pip", "install", "-q", "--no-index", "--find-links", str(machine.folder / "index")]
    subprocess.run([*naive, "leaf==1.0"], check=True, env={"PIP_CONFIG_FILE": "/dev/null", "PATH": "/usr/bin:/bin"})
    assert subprocess.run(says, capture_output=True, text=True, check=True).stdout == "evil\n"


def test_fault_24_a_benchs_peer_takes_what_was_pinned_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    good, lock = make_wheel(tmp_path / "index", "good"), tmp_path / "lock"
    make_wheel(tmp_path / "index", "evil")
    lock.write_text(f"leaf==1.0 --hash=sha256:{good}\n")
    peer = Peer("leaf", "leaf==1.0", lock)
    with pytest.raises(EnvironmentLacks, match="--no-peer"):
        peer.python(tmp_path / "peers", lambda _: None)
    assert not list((tmp_path / "peers").rglob("leaf.py"))
    make_wheel(tmp_path / "index", "good")
    python = peer.python(tmp_path / "peers", lambda _: None)
    assert subprocess.run([python, "-c", "import leaf; print(leaf.SAYS)"], capture_output=True).stdout == b"good\n"
