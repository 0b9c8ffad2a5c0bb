"""How late the agent's loop is, measured and as Prometheus reads it."""

import asyncio
import time

import pytest

from kms.tunnel.agent.loop_lag import BOUNDS_S, PERIOD_S, Histogram, LagMeter
from kms.tunnel.agent.prometheus import render


def test_each_duration_falls_into_one_class_and_bounds_belong_to_theirs() -> None:
    histogram = Histogram()
    for duration in (0.0, 0.002, 0.0021, 1.0, 7.5):
        histogram.add(duration)
    counted = dict(histogram.cumulative())
    assert (counted["0.002"], counted["0.005"], counted["1"], counted["+Inf"]) == (2, 3, 4, 5)
    assert histogram.count == 5
    assert histogram.sum_s == pytest.approx(8.5041)
    assert len(counted) == len(BOUNDS_S) + 1


def test_prometheus_gets_a_histogram_per_host() -> None:
    histogram = Histogram()
    histogram.add(0.03)
    histogram.add(0.25)
    text = render('a"b', {}, histogram)
    name = "qslice_tunnel_loop_lag_seconds"
    assert f'{name}_bucket{{host="a\\"b",le="0.02"}} 0' in text
    assert f'{name}_bucket{{host="a\\"b",le="0.05"}} 1' in text
    assert f'{name}_bucket{{host="a\\"b",le="+Inf"}} 2' in text
    assert f'{name}_sum{{host="a\\"b"}} 0.280000' in text
    assert f'{name}_count{{host="a\\"b"}} 2' in text


def test_a_loop_that_is_kept_busy_is_late_by_that_much() -> None:
    async def work() -> Histogram:
        meter = LagMeter()
        meter.start()
        deadline = time.monotonic() + PERIOD_S + 0.1
        while time.monotonic() < deadline:
            pass  # the loop cannot turn meanwhile
        while not meter.histogram.count:
            await asyncio.sleep(0)
        meter.stop()
        return meter.histogram

    assert dict(asyncio.run(work()).cumulative())["0.05"] == 0
