"""A KMS whose machine's clock is set, forth or back, while it runs or between two runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kms.delivery.key_delivery import KeyService
from kms.interfaces.etsi014 import Etsi014Server
from kms.steady_clock import SteadyClock
from tests.support.running_kms import KmsWorld, running_kms
from tests.support.wait import wait_until

DAYS_S = 86_400.0


class MachineClock:
    """``time.time`` as this process sees it, set by ``step_s``; and how often keys were looked through for old ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.step_s = 0.0
        self.expiries = 0
        true_time, expire = time.time, KeyService.expire
        monkeypatch.setattr(time, "time", lambda: true_time() + self.step_s)
        # A default argument has the true one still.
        defaults = tuple(time.time if each is true_time else each for each in Etsi014Server.__init__.__defaults__ or ())
        monkeypatch.setattr(Etsi014Server.__init__, "__defaults__", defaults)
        monkeypatch.setattr("kms.background.pool_filler.EXPIRY_INTERVAL_S", 0.05)

        async def counted(service: KeyService) -> int:
            count = await expire(service)
            self.expiries += 1
            return count

        monkeypatch.setattr(KeyService, "expire", counted)

    def wait_for_expiry(self) -> None:
        """Until one that began after this call is over."""
        seen = self.expiries
        wait_until(lambda: self.expiries >= seen + 2, 20)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MachineClock:
    # The event loop and sockets go by clocks of their own.
    return MachineClock(monkeypatch)


def order(world: KmsWorld) -> str:
    answer = world.enc("cell1", "sae-cell1", "sae-core1", number=1, extension_optional=[{"key_source": "dh"}])
    assert answer.status == 200, answer.body
    return str(answer.body["keys"][0]["key_ID"])


def fetch(world: KmsWorld, key_id: str) -> int:
    return world.dec("core1", "sae-core1", "sae-cell1", key_id).status


@pytest.mark.parametrize("step_s", [10 * DAYS_S, -10 * DAYS_S])
def test_fault_30_a_clock_that_is_set_takes_no_key_from_who_waits_for_it(
    tmp_path: Path, clock: MachineClock, step_s: float
) -> None:
    with running_kms(tmp_path, quota={"requests_per_s": 5}) as world:
        key_id = order(world)
        clock.step_s = step_s
        clock.wait_for_expiry()
        assert fetch(world, key_id) == 200
        wait_until(lambda: fetch(world, order(world)) == 200, 20)


def test_fault_30_a_clock_that_is_set_back_lets_no_key_outlive_its_time(tmp_path: Path, clock: MachineClock) -> None:
    with running_kms(tmp_path, awaiting_lifetime_s=1) as world:
        order(world)
        clock.step_s = -10 * DAYS_S
        wait_until(lambda: world.admin("GET", "/v1/status").body["awaiting_keys"] == 0, 20)


def test_fault_30_a_clock_that_is_set_back_does_not_starve_who_asks_at_a_limited_rate(
    tmp_path: Path, clock: MachineClock
) -> None:
    with running_kms(tmp_path, quota={"requests_per_s": 5}) as world:

        def is_served() -> bool:
            return world.ask("cell1", "sae-cell1", "GET", "/sae-core1/status").status == 200

        wait_until(lambda: not is_served(), 20)
        clock.step_s = -10 * DAYS_S
        wait_until(is_served, 20)


def test_fault_30_keys_of_a_run_whose_clock_was_ahead_expire_in_the_next(tmp_path: Path, clock: MachineClock) -> None:
    clock.step_s = 10 * DAYS_S
    with running_kms(tmp_path) as world:
        order(world)
    clock.step_s = 0.0
    with running_kms(tmp_path, awaiting_lifetime_s=1) as world:
        wait_until(lambda: world.admin("GET", "/v1/status").body["awaiting_keys"] == 0, 20)


def test_fault_30_a_steady_clock_bears_the_date_of_its_start_and_is_never_set() -> None:
    wall, steady = 1_000.0, 5.0
    clock = SteadyClock(lambda: wall, lambda: steady)
    assert clock() == 1_000.0
    wall, steady = 9_000.0, 6.5
    assert clock() == 1_001.5
