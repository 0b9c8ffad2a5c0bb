"""The cost profiles under a random load: the same arrivals for both, and nothing that leaves stays reserved."""

from __future__ import annotations

import csv
import io
import math

import pytest

from controller.model.operator_policy import CostProfile
from scripts.bench.common import report
from scripts.bench.pce import acceptance
from scripts.bench.pce.acceptance import Effort, as_csv, compare, figures, rows
from tests.support.results_reference import ORIGIN_HEADING, missing, unknown

HEADINGS = ("What every benchmark writes", "bench/NAME/*.json", ORIGIN_HEADING, "bench/paths/profiles.json")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "ARRIVALS", 60)
    monkeypatch.setattr(acceptance, "WARM_UP", 20)


def test_both_profiles_are_offered_the_same_and_every_figure_is_documented() -> None:
    effort = Effort({"ukqntel": (15,)}, seeds=2)
    found = compare(effort)
    by_profile = {profile: [s for s in found if s.profile is profile] for profile in CostProfile}
    last, free = by_profile[CostProfile.PREMIUM_LAST], by_profile[CostProfile.USE_FREE_PREMIUM]
    assert [s.offered for s in last] == [s.offered for s in free]
    assert all(s.offered.total() == 40 and 0 < s.accepted.total() <= 40 for s in found)
    assert sum(s.surplus_hops for s in free) > sum(s.surplus_hops for s in last)
    made = figures(found)
    document = {"figures": made}
    assert unknown(document, *HEADINGS) == []
    assert not missing(document, "bench/paths/profiles.json")
    assert report("paths", made, acceptance.NOTES)["figures"].keys() == made.keys()
    (row,) = rows(made, effort)
    assert row[:2] == ("ukqntel", 15)
    assert len(row) == len(acceptance.COLUMNS)
    table = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(line["seed"], line["profile"]) for line in table] == [
        ("0", "premium-last"), ("0", "use-free-premium"), ("1", "premium-last"), ("1", "use-free-premium"),
    ]  # fmt: skip
    assert sum(int(line["accepted"]) for line in table) == sum(s.accepted.total() for s in found)


def test_an_interval_is_student_s_and_of_one_value_nothing_is_known() -> None:
    assert acceptance._half_interval([1.0]) == math.inf
    assert acceptance._half_interval([1.0, 3.0]) == pytest.approx(12.71 * math.sqrt(2) / math.sqrt(2))
    assert acceptance._half_interval([5.0] * 4) == 0
