"""The import contracts notice what they are for: a wrong import, and a module in no layer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY

TREES = ("controller", "topologies", "kms", "scripts")
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contracts")
    for tree in TREES:
        shutil.copytree(REPOSITORY / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__", "*.html"))
    shutil.copy2(REPOSITORY / ".importlinter", folder)
    return folder


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"], cwd=folder, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_tree_keeps_its_contracts(copy: Path) -> None:
    found = check(copy)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        ("controller/model/throwaway.py", "import controller.operations.context\n", "controller.model is not allowed"),
        ("controller/pce/throwaway.py", "import time\n", "controller.pce is not allowed to import time"),
        ("controller/operations/throwaway.py", "import ryu.lib\n", "is not allowed to import ryu"),
        ("controller/state/throwaway.py", "import topologies.net\n", "controller is not allowed to import topologies"),
        ("controller/operations/throwaway.py", "import eventlet\n", "is not allowed to import eventlet"),
        ("topologies/throwaway.py", "", "topologies.throwaway"),
        ("kms/keys/throwaway.py", "import kms.delivery.key_delivery\n", "kms.keys is not allowed"),
        ("kms/qkdnet/throwaway.py", "import secrets\n", "kms.qkdnet is not allowed to import secrets"),
        ("kms/delivery/throwaway.py", "import aiohttp\n", "kms.delivery is not allowed to import aiohttp"),
        ("kms/delivery/throwaway.py", "import sqlite3\n", "kms.delivery is not allowed to import sqlite3"),
        ("kms/delivery/throwaway.py", "import kms.pki.authority\n", "kms.delivery is not allowed to import kms.pki"),
        ("kms/admission/throwaway.py", "import pydantic\n", "kms.admission is not allowed to import pydantic"),
        ("kms/sources/qkd/link/throwaway.py", "import kms.sources.qkd.section\n", "kms.sources.qkd.link is not"),
        ("kms/sources/qkd/throwaway.py", "", "kms.sources.qkd.throwaway"),
        ("kms/tunnel/packet/throwaway.py", "import kms.tunnel.agent.agent\n", "kms.tunnel.packet is not allowed"),
        ("kms/tunnel/protocol/throwaway.py", "import socket\n", "kms.tunnel.protocol is not allowed to import socket"),
        ("scripts/testbed/throwaway.py", "import scripts.cli.main\n", "scripts.testbed is not allowed"),
        ("controller/throwaway.py", "", "controller.throwaway"),
        ("kms/throwaway.py", "", "kms.throwaway"),
        ("kms/tunnel/throwaway.py", "", "kms.tunnel.throwaway"),
        ("scripts/throwaway.py", "", "scripts.throwaway"),
    ],
)
def test_a_wrong_import_or_a_module_in_no_layer_fails(copy: Path, module: str, text: str, said: str) -> None:
    path = copy / module
    path.write_text(text)
    try:
        found = check(copy)
    finally:
        path.unlink()
    assert found.returncode == 1
    assert said in " ".join(found.stdout.split())
