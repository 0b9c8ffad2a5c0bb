"""Every refusal has a type of its own, and the reference explains it."""

from __future__ import annotations

import re
from http import HTTPStatus

from controller.northbound.http.problem_types import TYPES, URN, type_of
from controller.northbound.refusals import MEANINGS
from controller.northbound.views.problem_codes import ProblemCode
from scripts.testbed.paths import REPOSITORY

PAGE = (REPOSITORY / "docs/reference/problems.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \| (`[a-z_]+` \| \d{3}) \|", PAGE, re.MULTILINE))


def test_every_code_has_a_type_and_a_title_of_its_own() -> None:
    assert set(TYPES) == {code.value for code in ProblemCode}
    assert len({name for name, _ in TYPES.values()}) == len({title for _, title in TYPES.values()}) == len(TYPES)
    assert type_of("key_rate_unknown", HTTPStatus.SERVICE_UNAVAILABLE)[0] == f"{URN}not-known-yet"
    assert type_of("not_found", HTTPStatus.NOT_FOUND) == (f"{URN}not-found", "Not Found")


def test_the_reference_has_every_type_with_its_code_and_status() -> None:
    assert {name: row.split("`")[1] for name, row in ROWS.items()} == {name: code for code, (name, _) in TYPES.items()}
    statuses = {code.value: status.value for _, status, code in MEANINGS}
    for name, row in ROWS.items():
        code, status = row.split("`")[1], int(row[-3:])
        assert statuses.get(code, status) == status, name


def test_the_reference_has_every_status_that_is_used_without_a_code() -> None:
    used = set()
    for file in (REPOSITORY / "controller/northbound").rglob("*.py"):
        used |= set(re.findall(r"Problem\(\s*HTTPStatus\.([A-Z_]+)", file.read_text(encoding="utf-8")))
    missing = [name for name in used if f"`{name.lower().replace('_', '-')}`" not in PAGE]
    assert missing == []
