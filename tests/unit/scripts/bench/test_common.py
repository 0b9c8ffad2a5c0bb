"""What the benchmarks share: percentiles against an independent definition, the report's shape, the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bench import common


@pytest.mark.parametrize("count", [1, 2, 3, 10, 99, 100, 101])
@pytest.mark.parametrize("per_cent", [1, 7, 50, 90, 99, 100])
def test_percentile_is_nearest_rank(count: int, per_cent: int) -> None:
    values = [7.0 * n % 101 for n in range(count)]
    found = common.percentile(values, per_cent / 100)
    reached = sum(v <= found for v in values)
    below = sum(v < found for v in values)
    assert found in values
    assert 100 * reached >= per_cent * count > 100 * below


def test_percentile_of_a_hundred_runs() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [common.percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.5)])
def test_percentile_of_nothing_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError):
        common.percentile(values, share)


def test_summary_names_the_spread_and_of_nothing_nothing() -> None:
    assert common.summary("a.b_ms", [3.0, 1.0, 2.0]) == {
        "a.b_ms.p50": 2.0,
        "a.b_ms.p90": 3.0,
        "a.b_ms.p99": 3.0,
        "a.b_ms.min": 1.0,
        "a.b_ms.max": 3.0,
    }
    assert common.summary("a.b_ms", []) == {}


def test_report_has_the_shape_of_the_contract(tmp_path: Path) -> None:
    report = common.report("provision", {"runs": 2, "x_ms.p50": 1.23456}, ["a note"], distributions=["no-such-package"])
    assert set(report) == {"bench", "machine", "versions", "figures", "notes"}
    assert report["bench"] == "provision"
    assert report["figures"] == {"runs": 2, "x_ms.p50": 1.235}
    assert report["notes"] == ["a note"]
    assert report["machine"]["processors"] >= 1
    assert "python" in report["versions"]
    assert "no-such-package" not in report["versions"]
    common.write_json(tmp_path / "report.json", report)
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_table_puts_the_spread_of_a_figure_in_one_row() -> None:
    columns, rows = common.table({"runs": 2, "x_ms.p50": 1.0, "x_ms.max": 3.0, "y.p50_last_10": 4.0})
    assert columns == ("figure", "value", "p50", "max")
    assert rows == [("runs", 2, None, None), ("x_ms", None, 1.0, 3.0), ("y.p50_last_10", 4.0, None, None)]
