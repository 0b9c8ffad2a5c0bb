"""``section list``: whose key is not called secret says so."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from scripts.cli.commands.network import sites
from scripts.testbed.paths import Layout


@pytest.mark.parametrize(("secure", "is_marked"), [(True, False), (False, True), (None, False)])
def test_a_section_that_is_not_secure_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secure: bool | None, is_marked: bool
) -> None:
    section = dict.fromkeys(sites.SECTION_FIELDS, "x") | {"secure": secure}
    monkeypatch.setattr(sites, "controller_of", lambda *_: None)
    monkeypatch.setattr(sites, "get", lambda *_: {"sections": [section]})
    assert sites.HANDLERS["section list"](Namespace(json=False), Layout(Path("s"), Path("r"))) == 0
    assert ("SECURE" in capsys.readouterr().out) is is_marked
