"""A testbed from Python takes the same file as the commands, and what is said beside it comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.automation.testbed import Testbed
from scripts.errors import WrongRequest


def test_a_testbed_is_as_its_file_says_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("network: {topo: metro-ring, scale: 2, bfd: true}\napi: {port: 8095}\n")
    told = Testbed(config=file, api_port=9001)
    assert told._planned.name == "metro-ring"
    assert told._options.bfd
    assert told._options.api_port == 9001
    assert told._options.configuration["network.scale"] == 2.0
    assert Testbed("ukqntel", config=file)._planned.name == "ukqntel"
    monkeypatch.setenv("QSLICE_CONFIG", str(file))
    assert Testbed()._options.api_port == 8095


def test_a_file_that_is_wrong_is_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("version: 1\napi: {prot: 8095}\n")
    with pytest.raises(WrongRequest, match=r"my\.yaml:2: api\.prot: there is no such setting: did you mean 'port'\?"):
        Testbed(config=file)
