"""The list of edge cases that failures have taught others, and that each has a test here that is named after it."""

from __future__ import annotations

import re

from scripts.testbed.paths import REPOSITORY

TESTS = REPOSITORY / "tests"
# By their numbers in the list: flaps and reroutes, rules on switches after failures, emulation.
OWED = {*range(1, 10), *range(19, 25)}


def test_every_edge_case_has_a_test_of_its_name() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    found = {int(number) for number in re.findall(r"^ *def test_edge_case_(\d\d)_\w+", text, re.MULTILINE)}
    assert found >= OWED, sorted(OWED - found)
