"""Where results come from is said as it is, and as unknown where it is not known."""

from __future__ import annotations

import re
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from scripts.configuration.values import DEFAULTS, Entry
from scripts.report import provenance as module
from scripts.report.provenance import Extension, provenance, sentence
from scripts.setup.version import version_of
from tests.support.origin import ORIGIN


def test_it_is_of_this_checkout_and_machine_and_has_what_is_not_a_default() -> None:
    configuration = DEFAULTS.with_entries({"api.port": Entry(9000), "network.scale": Entry(1.0)})
    found = provenance(configuration, 7).to_dict()
    assert found["version"] == version_of().version
    assert re.fullmatch("[0-9a-f]{40}|unknown", found["commit"])
    assert found["tree"] in ("clean", "changed", "unknown")
    assert datetime.fromisoformat(found["started_at"]).utcoffset() is not None
    assert found["seed"] == 7
    assert found["machine"]["processors"] >= 1
    assert "python" in found["versions"]
    assert found["extensions"] == []
    assert found["configuration"] == {"api.port": 9000}


def checkout(folder: Path, *words: str) -> None:
    options = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *options, "-C", str(folder), *words], check=True, capture_output=True)


def test_changes_and_no_git_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "9.8.7"\n')
    monkeypatch.setattr(module, "version_of", lambda: version_of(tmp_path))
    found = provenance(DEFAULTS)
    assert (found.version, found.commit, found.tree) == ("9.8.7", "unknown", "unknown")
    checkout(tmp_path, "init")
    checkout(tmp_path, "add", "pyproject.toml")
    checkout(tmp_path, "commit", "-m", "x")
    found = provenance(DEFAULTS)
    assert len(found.commit) == 40
    assert found.tree == "clean"
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "9.8.8"\n')
    assert provenance(DEFAULTS).tree == "changed"


def test_people_read_it_in_a_sentence() -> None:
    said = sentence(ORIGIN.to_dict())
    assert "QSlice 0.1.0, commit 0123456789ab; 2026-01-31T12:00:00+00:00; Debian 12, Linux 6.1, 2 processors" in said
    assert "settings: network.scale=2.0" in said


def test_extensions_have_name_version_and_hash() -> None:
    found = provenance(DEFAULTS, None, [Extension("pce", "yen", "1.0", "ab" * 32)]).to_dict()
    assert found["extensions"] == [{"kind": "pce", "name": "yen", "version": "1.0", "sha256": "ab" * 32}]
