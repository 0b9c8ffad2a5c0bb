"""The controller's bookings at a real KMS: there with the slice, moved with the sections, gone with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.key_rates import KeyBooking
from controller.southbound import kms_answers
from controller.southbound.kms_client import APP_PRIORITY_OF_ZERO, OWNER, KmsClient
from tests.support.controller_bench import Bench, request_for
from tests.support.running_kms import KmsWorld, running_kms
from tests.support.wait import wait_until
from topologies.catalog import metro_ring


def reservations(world: KmsWorld) -> list[tuple[str, float, str, tuple[str, ...]]]:
    told = world.admin("GET", "/v1/keys").body["reservations"]
    return [(r["server_app_id"], r["min_bandwidth"], r["app_status"], tuple(r["sections"])) for r in told]


def test_slices_are_applications_of_the_kms_and_follow_its_sections(tmp_path: Path) -> None:
    topology = metro_ring()
    sites = [
        {"site": s, "kme_id": f"kme-{s}", "host": "127.0.0.1", "port": 0, "sae_ids": [f"sae-{s}"]}
        for s in topology.site_names
    ]
    sections = [{**section, "model": "rate"} for section in topology.to_dict()["sections"]]
    links = topology.to_dict()["qkd_links"]
    with running_kms(tmp_path / "kms", sites=sites, sections=sections, qkd_links=links) as world:
        bench = Bench(topology, tmp_path / "db")
        bench.key_rates = client = KmsClient(Path(world.config.admin_socket))  # type: ignore[assignment]
        bench.context.key_rates = client
        wait_until(lambda: all(s.is_usable for s in client.sections()), 30)
        foreign = {
            "server_app_id": "sae-cell1", "client_app_id": ["sae-agg1"], "key_source": "qkd",
            "app_qos": {"min_bandwidth": 5.0},
        }  # fmt: skip
        assert world.admin("POST", "/v1/apps", foreign).status == 201
        others = reservations(world)
        bench.slices.create(request_for("enterprise-app", cells=["cell1"]))
        for _ in range(2):
            bench.maintenance.poll_keys()
            assert reservations(world) == [*others, ("sae-core1", 86.0, "ON", ("q-metro1-core1",))]
        assert world.admin("POST", "/v1/sections/q-metro1-core1/cut").status == 200
        bench.maintenance.poll_keys()
        wait_until(lambda: reservations(world)[-1][2:] == ("ON", ("q-metro2-core1", "q-metro1-metro2")), 5)
        bench.slices.create(request_for("enterprise-app", name="second", cells=["cell1"]))
        bench.maintenance.poll_keys()
        bench.maintenance.poll_keys()
        assert reservations(world)[-1][1] == 172.0
        for name in ("enterprise-app", "second"):
            bench.slices.delete(name)
        bench.maintenance.poll_keys()
        assert reservations(world) == others


@pytest.mark.parametrize("priority", [-100, -1, 0, 1, 100])
def test_fault_10_every_priority_of_a_slice_is_one_of_the_kms_and_the_order_is_kept(
    tmp_path: Path, priority: int
) -> None:
    sites = [
        {"site": s, "kme_id": f"kme-{s}", "host": "127.0.0.1", "port": 0, "sae_ids": [f"sae-{s}"]} for s in "ab"
    ]  # fmt: skip
    sections = [{"id": "ab", "a": "a", "b": "b", "length_km": 5.0, "model": "rate"}]
    links = [{"id": "ab", "a": "a", "b": "b", "sections": ["ab"]}]
    with running_kms(tmp_path / "kms", sites=sites, sections=sections, qkd_links=links) as world:
        client = KmsClient(Path(world.config.admin_socket))
        wait_until(lambda: all(s.is_usable for s in client.sections()), 30)
        lower, higher = KeyBooking("a", "b", "qkd", 10, priority), KeyBooking("a", "b", "dh", 10, priority + 1)
        for booking in (lower, higher) if priority < 100 else (lower,):
            client.book(booking, is_new=True)
        assert client.bookings()[lower.id] == lower
        told = world.admin("GET", "/v1/keys?parts=reservations").body
        priorities = {r["key_source"]: r["app_priority"] for r in told["reservations"]}
        assert 0 < priorities["qkd"] <= 255
        assert priorities.get("dh", 256) > priorities["qkd"]
        # One that nobody can read hides none of the others.
        told["reservations"].append({"owner": "controller", "min_bandwidth": float("inf")})
        assert kms_answers.bookings(told, OWNER, APP_PRIORITY_OF_ZERO)[lower.id] == lower
