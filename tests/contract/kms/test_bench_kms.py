"""``bench kms`` in short: every figure is there, and no key differs between its ends."""

from __future__ import annotations

from scripts.bench.kms import run as kms


def test_every_figure_and_no_failure() -> None:
    said: list[str] = []
    effort = kms.Effort(seconds=0.2, apps_seconds=0.5, applications=20, clients=(1, 3))
    report = kms.run(effort, said.append)
    figures = report["figures"]
    assert figures["failures"] == figures["apps_20.failures"] == 0
    for name in ("single.requests_per_s", "batch.keys_per_s", "half_load.p99_ms", "apps_20.p99_ms", "single.c1.p50_ms"):
        assert figures[name] > 0
    assert figures["batch.keys_per_s"] >= max(figures["batch.c1.keys_per_s"], figures["batch.c3.keys_per_s"])
    assert report["bench"] == "kms"
    assert len(said) == 6
