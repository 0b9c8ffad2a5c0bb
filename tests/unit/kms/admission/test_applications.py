"""Reservations of key rate: what is promised is there, beside what was promised before."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.admission.key_rate_reservations import (
    MIN_BURST_BITS,
    TAG_BITS,
    AdmissionError,
    Applications,
    AppQos,
    AppStatus,
    QkdApp,
)
from kms.admission.token_bucket import MIN_BURST_REQUESTS, RequestThrottle
from kms.errors import ExhaustedError
from kms.keys.key import DH, QKD, UNCONSTRAINED, KeySource, RoutingConstraint

ROUTES = {("a", "b"): ("s1",), ("a", "c"): ("s1", "s2"), ("b", "c"): ("s2",), ("a", "d"): ("s1", "s1")}


class Supply:
    def __init__(self, skr_bps: Mapping[str, float] | None = None, bits: int = 1_000_000) -> None:
        self.rates = dict(skr_bps or {"s1": 1_000.0, "s2": 600.0})
        self.bits = bits

    def epoch(self) -> int:
        return 0

    def sustained(
        self,
        a: str,
        b: str,
        way: RoutingConstraint = UNCONSTRAINED,
        needed_bps: float = 0.0,
        taken_bps: Mapping[str, float] | None = None,
    ) -> tuple[str, ...]:
        return ROUTES.get((min(a, b), max(a, b)), ())

    def skr_bps(self, section: str) -> float:
        return self.rates[section]

    def available_bits(self, section: str) -> int:
        return self.bits


def app(a: str, *others: str, rate: float, source: KeySource = QKD, priority: int = 1, most: float = 1e9) -> QkdApp:
    clients = tuple(f"sae-{site}" for site in others)
    return QkdApp(uuid.uuid4(), f"sae-{a}", clients, source, (a, *others), AppQos(rate, most), priority)


def test_what_is_promised_fits_beside_what_was_promised() -> None:
    applications = Applications(Supply(), {}, None)
    applications.admit(app("a", "b", rate=400.0), 0.0)  # with its tag every bit costs two
    assert applications.expected_consumption_bps("s1") == 800.0
    with pytest.raises(AdmissionError) as caught:
        applications.admit(app("a", "c", rate=101.0), 0.0)
    assert caught.value.offer_bps == 100.0
    applications.admit(app("a", "c", rate=100.0), 0.0)
    assert applications.expected_consumption_bps("s1") == 1_000.0
    assert applications.expected_consumption_bps("s2") == 200.0


def test_a_route_that_crosses_a_section_twice_pays_twice_and_a_multicast_for_each_way() -> None:
    applications = Applications(Supply(), {}, None)
    applications.admit(app("a", "d", rate=50.0), 0.0)
    assert applications.expected_consumption_bps("s1") == 200.0
    applications.admit(app("a", "b", "c", rate=50.0), 0.0)
    assert applications.expected_consumption_bps("s1") == 400.0


def test_a_change_counts_what_it_has_already_and_a_release_gives_it_back() -> None:
    applications = Applications(Supply(), {}, None)
    first = app("a", "b", rate=500.0)
    applications.admit(first, 0.0)
    applications.admit(first, 1.0)
    assert applications.release(first.app_id) == first
    applications.admit(app("a", "b", rate=500.0), 2.0)


@pytest.mark.parametrize(("source", "offer"), [(QKD, 0.0), (DH, 1e9), (KeySource.parse("qkd+dh"), 0.0)])
def test_without_a_route_nothing_of_qkd_can_be_promised(source: KeySource, offer: float) -> None:
    applications = Applications(Supply(), {}, None)
    assert applications.offer_bps(app("a", "z", rate=1.0, source=source)) == offer


def test_the_status_follows_the_links() -> None:
    supply = Supply()
    applications = Applications(supply, {}, None)
    mine = app("a", "b", rate=400.0)
    applications.admit(mine, 0.0)
    assert applications.status(mine) is AppStatus.ON
    supply.rates["s1"] = 700.0
    assert applications.status(mine) is AppStatus.OUT_OF_TIME
    supply.rates["s1"] = 0.0
    assert applications.status(mine) is AppStatus.DISCONNECTED


def test_what_is_scarce_is_kept_for_higher_priority() -> None:
    supply = Supply(bits=4_000)
    applications = Applications(supply, {}, None)
    important, ordinary = app("a", "b", rate=400.0, priority=5), app("a", "c", rate=1.0, priority=1)
    applications.admit(important, 0.0)
    applications.admit(ordinary, 0.0)

    def asks(slave: str, bits: int = 256) -> None:
        account = applications.account("sae-a", f"sae-{slave}", QKD, 0.0)
        applications.order("sae-a", [f"sae-{slave}"], QKD, bits, 0.0)
        account.debit(Counter(ROUTES["a", slave]), bits + TAG_BITS)

    asks("c")  # 4,000 - 512 are more than 3 s of 800 bit/s
    supply.bits = 2_800
    asks("b")
    for slave in ("c", "d"):  # of lower priority, and of none
        with pytest.raises(ExhaustedError, match="higher priority"):
            asks(slave)
    applications.order("sae-a", ["sae-b"], DH, 256, 0.0)
    applications.release(important.app_id)
    asks("c")


def test_nobody_takes_more_than_quota_or_maximum() -> None:
    applications = Applications(Supply(), {"sae-a": 1_000.0}, 2_000.0)
    for _ in range(20):  # 5 s of the rate are 19.5 keys
        applications.order("sae-a", ["sae-b"], DH, 256, 0.0)
    with pytest.raises(ExhaustedError, match="quota"):
        applications.order("sae-a", ["sae-b"], DH, 256, 0.0)
    applications.order("sae-b", ["sae-a"], DH, 256, 0.0)
    applications.order("sae-a", ["sae-b"], DH, 256, 1.0)

    applications = Applications(Supply(), {}, None)
    applications.admit(app("a", "b", rate=10.0, most=10.0), 0.0)
    for _ in range(16):
        applications.order("sae-b", ["sae-a"], QKD, 256, 0.0)
    with pytest.raises(ExhaustedError, match="max_bandwidth"):
        applications.order("sae-b", ["sae-a"], QKD, 256, 0.0)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 4096)), max_size=60), st.floats(100, 10_000))
def test_over_any_time_a_quota_holds_but_for_its_burst_and_one_request(
    requests: list[tuple[float, int]], rate: float
) -> None:
    applications = Applications(Supply(), {}, rate)
    now, taken = 0.0, 0
    for pause_s, bits in requests:
        now += pause_s
        try:
            applications.order("s", ["t"], DH, bits, now)
        except ExhaustedError:
            continue
        taken += bits
    assert taken <= rate * now + max(5 * rate, MIN_BURST_BITS) + 4096


def test_requests_are_throttled_one_sae_at_a_time() -> None:
    now = 0.0
    throttle = RequestThrottle({"hasty": 1.0}, None, lambda: now)
    assert sum(throttle.may_ask("hasty") for _ in range(100)) == MIN_BURST_REQUESTS
    assert all(throttle.may_ask("other") for _ in range(100))
    now = 2.0
    assert throttle.may_ask("hasty")


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_impossible_qos(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="bandwidth"):
        AppQos(low, high)
