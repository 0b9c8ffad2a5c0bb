"""What the operator decides for all slices: a method in every key of QKD, and what premium channels are for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.model.cards import card_pairs
from controller.model.operator_policy import CostProfile, OperatorPolicy
from controller.model.request import KEY_BITS, SecurityRequirement
from controller.pce.cost import breakdown
from controller.schema.config import PolicyConfig
from controller.schema.slice_request import InvalidRequest, slice_request_to_dict
from controller.state.network_state import NetworkState
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import ukqntel
from topologies.spec import EncryptionMode, SecurityClass, Topology

DH, QRA, QKD = SecurityClass.DH, SecurityClass.QRA, SecurityClass.QKD
NAME = "enterprise-app"


def bench_with(folder: Path, policy: OperatorPolicy, mode: EncryptionMode = EncryptionMode.HOST) -> Bench:
    def make(topology: Topology) -> NetworkState:
        return NetworkState(topology, encryption=mode, policy=policy)

    return Bench(ukqntel(), folder / "db", make_model=make)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(bench_with(tmp_path, OperatorPolicy(always=(QRA,))))


def created(client: Client, **changes: Any) -> dict[str, dict[str, Any]]:
    status, _, body = client.call("POST", "/v1/slices", raw_request(NAME, **changes))
    assert status == 201, body
    return {c["name"]: c for c in body["connections"]}


def test_every_key_of_qkd_is_combined_with_what_the_policy_says_and_shown_so(client: Client) -> None:
    connections = created(client)
    assert {name: (c["required"], c["key_source"], c["added_by_policy"]) for name, c in connections.items()} == {
        "cell1-control": ("dh", "dh", []), "cell2-control": ("dh", "dh", []),
        "cell1-compute": ("qra", "qra", []), "cell2-compute": ("qra", "qra", []),
        "compute-core": ("qkd", "qkd+qra", ["qra"]),
    }  # fmt: skip
    told = client.bench.tunnels.told
    ends = [told[site, f"{NAME}/compute-core"] for site in ("metro1", "core1")]
    assert {end.key_source for end in ends} == {"qkd+qra"}
    assert client.call("GET", "/v1/topology")[2]["policy"] == {"always": ["qra"], "cost_profile": "premium-last"}


def test_the_request_stays_what_was_asked_and_a_change_of_it_too(client: Client) -> None:
    created(client)
    assert client.call("GET", f"/v1/slices/{NAME}")[2]["request"]["connections"]["backhaul"]["security"] == "qkd"
    patch = {"connections": {"backhaul": {"bandwidth_mbps": 12}}}
    body = client.call("PATCH", f"/v1/slices/{NAME}", patch)[2]
    assert body["request"]["connections"]["backhaul"]["security"] == "qkd"
    assert {c["name"]: c["key_source"] for c in body["connections"]}["compute-core"] == "qkd+qra"


def test_a_dry_run_tells_it_and_key_rate_is_asked_of_qkd_once(client: Client) -> None:
    plan = client.call("POST", "/v1/slices?dry_run=true", raw_request(NAME))[2]
    backhaul = {c["name"]: c for c in plan["connections"]}["compute-core"]
    assert (backhaul["key_source"], backhaul["key_rate_bps"]) == ("qkd+qra", round(KEY_BITS / 3, 3))
    split = raw_request(NAME, {"backhaul": {"suite": "aes-256-ctr-hmac-sha-256"}})
    plan = client.call("POST", "/v1/slices?dry_run=true", split)[2]
    backhaul = {c["name"]: c for c in plan["connections"]}["compute-core"]
    assert backhaul["key_rate_bps"] == round(KEY_BITS / 3, 3)  # QRA's key is the second of the suite's two


def test_what_is_booked_at_the_kms_is_the_hybrid(client: Client) -> None:
    created(client)
    client.bench.maintenance.poll_keys()
    assert {booking.key_source for booking in client.bench.key_rates.bookings().values()} == {"qkd+qra"}


def test_a_fallback_has_keys_of_its_own_level_alone(client: Client) -> None:
    created(
        client, connections=raw_request(NAME, {"backhaul": {"fallback": ["qra"], "protection": "none"}})["connections"]
    )
    bench = client.bench
    for section in bench.topology.sections:
        bench.key_rates.rates[section.id] = 0
    bench.maintenance.poll_keys()
    view = {c["name"]: c for c in client.call("GET", f"/v1/slices/{NAME}")[2]["connections"]}["compute-core"]
    assert (view["is_on_fallback"], view["level"], view["key_source"], view["added_by_policy"]) == (
        True, "qra", "qra", [],
    )  # fmt: skip


def test_the_next_process_goes_on_with_it(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, OperatorPolicy(always=(QRA, DH)))
    client = Client(bench)
    assert created(client)["compute-core"]["key_source"] == "qkd+qra+dh"
    bench.store.close()
    after = bench_with(tmp_path, OperatorPolicy(always=(QRA, DH)))
    after.maintenance.load()
    assert after.model.connections[f"{NAME}/compute-core"].key_source == "qkd+qra+dh"
    assert after.model.slice(NAME).request == bench.model.slice(NAME).request


@pytest.mark.parametrize(
    ("sources", "source"),
    [((QKD,), "qkd+qra"), ((QKD, QRA), "qkd+qra"), ((QKD, DH), "qkd+qra+dh"), ((QRA,), "qra"), ((DH,), "dh"),
     ((SecurityClass.NONE,), "none")],
)  # fmt: skip
def test_a_policy_adds_to_qkd_alone_and_nothing_twice(sources: tuple[SecurityClass, ...], source: str) -> None:
    requirement = SecurityRequirement(sources, always=(QRA,))
    assert requirement.key_source == source
    assert requirement.level is max(sources)


def test_cards_have_it_where_they_seal_and_only_then_a_hybrid_can_be_asked_for_there(tmp_path: Path) -> None:
    client = Client(bench_with(tmp_path, OperatorPolicy(always=(QRA,)), EncryptionMode.CHANNEL))
    hybrid = {"backhaul": {"security": ["qkd", "qra"], "protection": "restoration"}}
    connections = created(client, connections=raw_request(NAME, hybrid)["connections"])
    assert connections["compute-core"]["key_source"] == "qkd+qra"
    assert {c["key_source"] for c in client.call("GET", "/v1/topology")[2]["cards"]} == {"qkd+qra", "qra", "dh"}
    with pytest.raises(InvalidRequest, match="hybrid"):
        client.bench.slices.terms.accept(
            replace(client.bench.model.slice(NAME).request, name="other").with_spec(
                "backhaul",
                replace(
                    client.bench.model.slice(NAME).request.specs["backhaul"], security=SecurityRequirement((QKD, DH))
                ),
            )
        )
    plain = {p.key_source for p in card_pairs(ukqntel(), EncryptionMode.CHANNEL)}
    assert plain == {"qkd", "qra", "dh"}
    assert slice_request_to_dict(client.bench.model.slice(NAME).request)["connections"]["backhaul"]["security"] == [
        "qkd", "qra",
    ]  # fmt: skip


def test_lesser_traffic_takes_free_premium_channels_where_the_operator_wants_it(tmp_path: Path) -> None:
    """Between two sites of ukqntel channels differ in their class alone."""
    surplus = {}
    for profile in CostProfile:
        folder = tmp_path / profile.value
        folder.mkdir()
        bench = bench_with(folder, OperatorPolicy(cost_profile=profile))
        client, topology = Client(bench), bench.topology
        free = {
            role: {"security": "none", "protection": "none", "bandwidth_mbps": 0.5}
            for role in ("control", "access", "backhaul")
        }
        for number in range(3):
            created(client, name=f"s{number}", connections=raw_request(NAME, free)["connections"])
        routes = [lane.route for connection in bench.model.connections.values() for lane in connection.lanes]
        used = [topology.channel(channel) for route in routes for channel in route.channels]
        least = {frozenset(c.ends): min(o.security for o in topology.channels if o.ends == c.ends) for c in used}
        surplus[profile] = sum(c.security - least[frozenset(c.ends)] for c in used)
        if not profile.counts_surplus:
            assert all(breakdown(route.cost).surplus_levels == 0 for route in routes)
    assert surplus[CostProfile.PREMIUM_LAST] == 0
    assert surplus[CostProfile.USE_FREE_PREMIUM] > 0


def test_the_configuration_says_each_method_once() -> None:
    assert PolicyConfig(always=("qra", "dh", "qra")[:2]).parsed() == OperatorPolicy((QRA, DH))
