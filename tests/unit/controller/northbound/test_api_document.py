"""docs/reference/api.md has an example of every operation that there is, and of none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.testbed.paths import REPOSITORY
from tests.support.api_client import Client
from tests.support.controller_bench import Bench
from topologies.catalog import ukqntel

TEXT = (REPOSITORY / "docs/reference/api.md").read_text(encoding="utf-8")


def test_every_operation_has_an_example(tmp_path: Path) -> None:
    operations = Client(Bench(ukqntel(), tmp_path / "db")).api.router.operations
    named = set(re.findall(r"# (\w+)", "\n".join(line for line in TEXT.splitlines() if line.startswith("    "))))
    names = {operation.name for operation in operations}
    assert names <= named
    for target in re.findall(r"\$API(/[^\s\"?]*)", TEXT):
        assert any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", o.path), target) for o in operations), target
