"""``qslice pki``: issue, renew, revoke, list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.main import prepared
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    arguments = prepared(["pki", *words, "--json"])
    assert arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run")) == 0
    return json.loads(capsys.readouterr().out)


def test_life_of_an_saes_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path, capsys, "issue", "alice", "--out", str(tmp_path / "one"), "--site", "cell1")
    second = run(tmp_path, capsys, "renew", "alice", "--out", str(tmp_path / "two"))
    assert Path(first["cert"]).read_bytes() != Path(second["cert"]).read_bytes()
    (listed,) = run(tmp_path, capsys, "list")["saes"]
    assert (listed["sae_id"], listed["site"], len(listed["certificates"])) == ("alice", "cell1", 2)
    assert run(tmp_path, capsys, "revoke", "alice") == {"sae_id": "alice", "revoked_certificates": 2}
    assert run(tmp_path, capsys, "list") == {"saes": []}
    assert (tmp_path / "state" / "pki" / "crl.pem").exists()


@pytest.mark.parametrize("words", [("revoke", "nobody"), ("renew", "nobody", "--out", "{out}")])
def test_of_somebody_who_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    run(tmp_path, capsys, "issue", "alice", "--out", str(tmp_path / "one"))
    arguments = prepared(["pki", *(word.format(out=tmp_path / "two") for word in words)])
    with pytest.raises(WrongRequest, match="not registered"):
        arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run"))
