"""Loss, delay and jitter on a running network, as pings measure them; lifted, all is as before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.launcher import answer, connection, network_up, qslice
from tests.support.wait import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]


@pytest.fixture(scope="module")
def over() -> Iterator[dict[str, Any]]:
    """A connection over one channel, or several of which the first is impaired."""
    with network_up():
        made = answer("slice", "create", "--example", "enterprise-app")
        yield next(c for c in made["connections"] if c["name"] == "cell1-compute")


def ping(over: dict[str, Any], count: int) -> tuple[float, float, float]:
    """Loss in per cent, and the least and the median-like mean of the times in ms."""
    words = ("ping", "-q", "-c", str(count), "-i", "0.01", "-W", "1", over["dst_address"])
    said = qslice("exec", over["src"], "--", *words, timeout_s=60).stdout
    loss = re.search(r"([\d.]+)% packet loss", said)
    times = re.search(r"= ([\d.]+)/([\d.]+)/", said)
    assert loss, said
    return float(loss[1]), float(times[1]) if times else 0.0, float(times[2]) if times else 0.0


def still_there(over: dict[str, Any]) -> bool:
    return bool(connection("enterprise-app", over["name"])["path"] == over["path"])


def test_delay_counts_in_each_direction_and_goes_when_it_is_lifted(over: dict[str, Any]) -> None:
    channel = over["path"][0]
    wait_until(lambda: ping(over, 5)[0] == 0, 20, 0.2)
    _, plain_ms, _ = ping(over, 50)
    told = answer("link", "impair", channel, "--delay", "20", "--jitter", "4")
    assert told["now"] == f"{channel} is impaired"
    assert {k: told["faults"][0][k] for k in ("loss_pct", "delay_ms", "jitter_ms")} == {
        "loss_pct": 0.0, "delay_ms": 20.0, "jitter_ms": 4.0
    }  # fmt: skip
    loss, least, mean = ping(over, 100)
    assert loss == 0
    assert plain_ms + 2 * 16 <= least
    assert plain_ms + 36 <= mean <= plain_ms + 60
    assert [f["fault"] for f in answer("status")["faults"]] == ["link impair"]
    answer("link", "impair", channel, "--delay", "20", "--direction", "a-b")
    answer("link", "up", channel, "--direction", "b-a")
    assert still_there(over)
    answer("link", "up", channel)
    assert answer("status")["faults"] == []
    assert ping(over, 50)[1] < plain_ms + 5


def test_loss_is_about_what_was_asked_for_in_one_direction_alone(over: dict[str, Any]) -> None:
    channel = over["path"][0]
    answer("link", "impair", channel, "--loss", "10", "--direction", "a-b")
    loss, least, _ = ping(over, 600)
    assert 4 < loss < 17  # 600 with 10 %: a standard deviation is 1.2 %
    assert least < 10
    answer("link", "blackhole", channel)  # worse comes on top, and goes first
    answer("link", "up", channel)
    wait_until(lambda: ping(over, 20)[0] == 0, 20, 0.2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one is needed"),
        (["--loss", "101"], "--loss: 101"),
        (["--loss", "-1"], "--loss"),
        (["--delay", "10001"], "--delay: 10001"),
        (["--delay", "5", "--jitter", "6"], "--jitter: 6 is more than --delay"),
        (["--loss", "nan"], "--loss"),
    ],
)
def test_what_cannot_be_is_refused(over: dict[str, Any], words: list[str], said: str) -> None:
    done = qslice("link", "impair", over["path"][0], *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert answer("status")["faults"] == []
