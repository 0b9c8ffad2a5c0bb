"""What the KMS answers is parsed at the edge: odd values concern the entry that has them, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.model.events import SectionState
from controller.model.key_rates import KeyPool
from controller.northbound.views.network import topology_view
from controller.operations.keys.key_rate_polling import KeyRatePolling
from controller.pce.network import Network
from controller.southbound.kms_answers import Unreadable, bookings, decode, offer_bps, pools, sections
from controller.southbound.kms_client import KmsClient, KmsError
from tests.support.controller_bench import Bench
from tests.support.fake_agents import FakeKms
from topologies.catalog import ukqntel

HUGE = 10**400
ODD: tuple[Any, ...] = (
    float("nan"), float("inf"), -float("inf"), HUGE, -HUGE, 1e300, -1.0, True, "12", None, [], {}, [[1]], "\0",
    "x" * 999,
)  # fmt: skip
GOOD = {"id": "good", "skr_bps": 1000.0, "qber": 0.02, "state": "active"}
POOL = {"a": "a", "b": "b", "source": "qkd", "stored": 3}
BOOKING = {
    "app_id": "one", "owner": "us", "server_app_id": "sae-a", "client_app_id": ["sae-b"], "key_source": "qkd",
    "min_bandwidth": 5.0, "app_priority": 101,
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize("field", GOOD)
def test_fault_09_an_odd_value_of_one_section_concerns_that_section_alone(field: str, odd: Any) -> None:
    raw = json.dumps({"sections": [GOOD | {"id": "bad", field: odd}, GOOD]}).encode()
    told = {s.id: s for s in sections(decode(raw))}
    assert told["good"].is_usable
    assert told["good"].rate_millibps == 1_000_000
    if "bad" in told:
        is_harmless = field == "qber" and odd is None
        assert told["bad"].is_usable is is_harmless
        assert told["bad"].rate_millibps in (0, 1_000_000)


@pytest.mark.parametrize("secure", [True, False, None])
def test_whether_a_section_is_secure_is_told_on(secure: bool | None) -> None:
    (known,) = sections({"sections": [GOOD | {"secure": secure}]})
    (starting,) = sections({"sections": [GOOD | {"secure": secure, "state": "starting", "skr_bps": None}]})
    assert (known.is_secure, starting.is_secure) == (secure, secure)
    network = Network(ukqntel())
    first, second = (section.id for section in network.topology.sections[:2])
    shown = topology_view(network, {first: replace(known, id=first)}, {})["sections"]
    assert [each["secure"] for each in shown if each["id"] in (first, second)] == [secure, None]


def test_a_section_whose_devices_start_again_is_unusable_and_told_apart() -> None:
    (restarting,) = sections({"sections": [GOOD | {"state": "restarting", "skr_bps": 0.0}]})
    (stopped,) = sections({"sections": [GOOD | {"state": "stopped", "skr_bps": 0.0}]})
    assert not restarting.is_usable
    assert restarting.is_known
    assert [SectionState.of(each).value for each in (restarting, stopped)] == ["restarting", "unusable"]


@pytest.mark.parametrize("odd", ODD, ids=lambda v: repr(v)[:12])
def test_fault_09_entries_that_are_none_are_left_out(odd: Any) -> None:
    assert [s.id for s in sections({"sections": [odd, GOOD, {}]})] == ["good"]
    assert pools({"pools": [odd, POOL, POOL | {"a": "c", "stored": odd}]}) == {KeyPool("a", "b", "qkd"): 3}
    for field in ("app_id", "server_app_id", "client_app_id", "key_source", "min_bandwidth", "app_priority"):
        if not (isinstance(odd, str) and field in ("app_id", "server_app_id", "key_source")):
            found = bookings({"reservations": [odd, BOOKING | {"app_id": "two", field: odd}, BOOKING]}, "us", 101)
            assert list(found) == ["one"]
    if not isinstance(odd, list):
        with pytest.raises(Unreadable):
            sections({"sections": odd})
    with pytest.raises(Unreadable):
        offer_bps({"min_bandwidth": odd})


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"[]", b"\xff", b"null"])
def test_fault_09_what_is_no_answer_is_unreadable_and_nothing_else(text: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(text)


def test_fault_09_the_client_goes_on_with_the_sections_that_can_be_read(tmp_path: Path) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    ids = [s.id for s in bench.topology.sections]
    kms = FakeKms(tmp_path / "kms", ids)
    try:
        kms.sections[0]["qber"] = HUGE
        kms.sections[1]["skr_bps"] = float("nan")
        bench.context.key_rates = KmsClient(tmp_path / "kms")
        stopped = KeyRatePolling(bench.context).refresh()
        assert stopped is not None
        assert sorted(stopped) == sorted(ids[:2])
        assert all(bench.model.network.is_section_usable(i) for i in ids[2:])
        kms.sections[:] = [3, None]  # type: ignore[list-item]
        with pytest.raises(KmsError):
            KmsClient(tmp_path / "kms").sections()
    finally:
        kms.close()
    with pytest.raises(KmsError):
        KmsClient(tmp_path / "kms").sections()
