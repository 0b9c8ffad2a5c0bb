"""The further interfaces over the same keys: SKIP, ETSI 004, ETSI 015, reservations and notifications."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kms.clients.etsi014_client import Kme014Client
from kms.errors import KmeRefusedError
from tests.support.running_kms import Answer, KmsWorld, running_kms
from tests.support.wait import PATIENCE, wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsWorld]:
    quotas = {"greedy": {"bits_per_s": 10.0}, "hasty": {"requests_per_s": 0.01}}
    with running_kms(tmp_path_factory.mktemp("kms"), quotas=quotas) as world:
        for site in ("cell1", "metro1", "core1"):
            world.credentials(f"sae-{site}", site)
        # QKD keys enough for all the tests: on a busy machine the sections' simulation is slow.
        wait_until(lambda: all(e["available_bits"] > 60_000 for e in world.admin("GET", "/v1/keys").body["links"]), 90)
        yield world


def ask(world: KmsWorld, site: str, path: str, sae: str | None = None, verb: str = "GET", body: Any = None) -> Answer:
    return world.ask_with(world.tls(sae or f"sae-{site}"), site, verb, path, body)


class TestSkip:
    def test_capabilities(self, world: KmsWorld) -> None:
        body = ask(world, "cell1", "/capabilities").body
        assert (body["key"], body["entropy"], body["algorithm"]) == (True, True, "QKD")
        assert body["localSystemID"] == "sae-cell1"
        assert {"sae-metro1", "sae-core1"} <= set(body["remoteSystemID"])

    @pytest.mark.parametrize("size", [None, 128, 256])
    def test_a_key_and_its_twin_once(self, world: KmsWorld, size: int | None) -> None:
        query = "?remoteSystemID=sae-metro1" + (f"&size={size}" if size else "")
        given = ask(world, "cell1", f"/key{query}").body
        assert len(bytes.fromhex(given["key"])) * 8 == (size or 256)
        path = f"/key/{given['keyId']}?remoteSystemID=sae-cell1"
        assert ask(world, "metro1", path).body == given
        assert ask(world, "metro1", path).status == 400

    def test_a_key_of_skip_is_one_of_etsi_014(self, world: KmsWorld) -> None:
        given = ask(world, "cell1", "/key?remoteSystemID=sae-metro1").body
        (twin,) = world.dec("metro1", "sae-metro1", "sae-cell1", str(uuid.UUID(given["keyId"]))).body["keys"]
        assert base64.b64decode(twin["key"]).hex() == given["key"]

    def test_entropy(self, world: KmsWorld) -> None:
        drawn = [ask(world, "cell1", "/entropy?minentropy=129").body for _ in range(2)]
        assert all(len(each["randomStr"]) * 4 == each["minentropy"] == 136 for each in drawn)
        assert drawn[0] != drawn[1]

    @pytest.mark.parametrize(
        ("verb", "path", "status"),
        [("GET", "/key", 400), ("GET", "/key?remoteSystemID=nobody", 400), ("GET", "/key/xyz?remoteSystemID=x", 400),
         ("GET", "/key?remoteSystemID=sae-metro1&size=192", 400), ("GET", "/entropy?minentropy=0", 400),
         ("GET", "/entropy?minentropy=1000000", 400), ("GET", "/capabilities?x=1", 400), ("POST", "/key", 405),
         ("GET", "/nothing", 404), ("GET", "/", 404),
         ("GET", f"/key/{uuid.uuid4().hex}?remoteSystemID=sae-metro1", 400)],
    )  # fmt: skip
    def test_refusals(self, world: KmsWorld, verb: str, path: str, status: int) -> None:
        answer = ask(world, "cell1", path, verb=verb)
        assert answer.status == status
        assert answer.body["message"]


def opening(source: str, chunk_bytes: int) -> dict[str, Any]:
    return {"Source": source, "Destination": "sae-core1", "QoS": {"Key_chunk_size": chunk_bytes, "Max_bps": 1}}


class TestEtsi004:
    def call(self, world: KmsWorld, site: str, function: str, **body: Any) -> Answer:
        return ask(world, site, f"/api/etsi004/v2.1/{function}", verb="POST", body=body)

    def test_a_stream(self, world: KmsWorld) -> None:
        qos = {"Key_chunk_size": 48, "Max_bps": 100_000, "Min_bps": 10, "Metadata_mimetype": "application/json"}
        ends = {"Source": "sae-cell1", "Destination": "sae-metro1"}
        opened = self.call(world, "cell1", "open_connect", **ends, QoS=qos).body
        assert opened["Status"] == 1
        stream = {"Key_stream_ID": opened["Key_stream_ID"]}
        turned = {"Source": "sae-metro1", "Destination": "sae-cell1"}
        assert self.call(world, "metro1", "open_connect", **turned, QoS=qos, **stream).body["Status"] == 0
        first = self.call(world, "metro1", "get_key", **stream, Metadata_size=64).body
        second = self.call(world, "cell1", "get_key", **stream, Index=first["Index"]).body
        assert first["Status"] == second["Status"] == 0
        assert first["Key_buffer"] == second["Key_buffer"]
        assert len(base64.b64decode(first["Key_buffer"])) == 48
        assert json.loads(first["Metadata"]["Metadata_buffer"])["source"] == "qkd"
        assert [a["server_app_id"] for a in world.admin("GET", "/v1/apps").body["qkd_app"]] == ["sae-cell1"]
        assert self.call(world, "cell1", "close", **stream).body["Status"] == 1
        assert self.call(world, "metro1", "close", **stream).body["Status"] == 0
        assert world.admin("GET", "/v1/apps").body["qkd_app"] == []

    def test_a_counter_offer(self, world: KmsWorld) -> None:
        qos = {"Key_chunk_size": 32, "Max_bps": 10**13, "Min_bps": 10**13}
        answer = self.call(world, "cell1", "open_connect", Source="sae-cell1", Destination="sae-metro1", QoS=qos).body
        assert answer["Status"] == 7
        assert 0 < answer["QoS"]["Min_bps"] < 10**13

    @pytest.mark.parametrize(
        ("function", "body", "status"),
        [("open_connect", opening("sae-metro1", 32), 401), ("open_connect", opening("sae-cell1", 0), 400),
         ("open_connect", {"Source": "sae-cell1", "Destination": "sae-core1"}, 400),
         ("get_key", {"Key_stream_ID": "x"}, 400), ("get_key", {"Key_stream_ID": str(uuid.uuid4())}, 401),
         ("close", {"Key_stream_ID": str(uuid.uuid4())}, 401), ("close", {}, 400)],
    )  # fmt: skip
    def test_refusals(self, world: KmsWorld, function: str, body: dict[str, Any], status: int) -> None:
        answer = self.call(world, "cell1", function, **body)
        assert answer.status == status
        assert answer.body["message"]


def test_the_tree_of_etsi_015(world: KmsWorld) -> None:
    node = world.admin("GET", "/v1/nodes/metro1").body["etsi-qkd-sdn-node:qkd_node"]
    assert node["qkdn_capabilities"]["key_relay_mode_enable"] is True
    links = {link["qkdl_name"]: link for link in node["qkd_links"]["qkd_link"]}
    assert (links["east"]["qkdl_type"], links["west"]["qkdl_type"]) == ("PHYS", "VIRT")
    assert links["east"]["phys_channel_att"] == "1.000"
    assert links["west"]["qkdl_status"] == "ACTIVE"
    assert links["west"]["qkdl_performance"]["eskr"] <= links["west"]["qkdl_performance"]["skr"]
    other = world.admin("GET", "/v1/nodes/cell1").body["etsi-qkd-sdn-node:qkd_node"]
    (seen,) = other["qkd_links"]["qkd_link"]
    assert seen["qkdl_id"] == links["west"]["qkdl_id"]
    assert seen["qkdl_remote"] == links["west"]["qkdl_local"]
    assert world.admin("GET", "/v1/nodes/nowhere").status == 404


class TestReservations:
    def body(self, rate: float, **fields: Any) -> dict[str, Any]:
        ends = {"server_app_id": "sae-cell1", "client_app_id": ["sae-core1"]}
        return {**ends, "app_qos": {"min_bandwidth": rate}, **fields}

    def test_life_of_an_application(self, world: KmsWorld) -> None:
        offer = world.admin("POST", "/v1/apps/check", self.body(1.0)).body["offer"]["min_bandwidth"]
        refused = world.admin("POST", "/v1/apps", self.body(2 * offer))
        assert refused.status == 409
        assert 0 < refused.body["offer"]["min_bandwidth"] < 2 * offer
        made = world.admin("POST", "/v1/apps", self.body(offer / 4, app_priority=3))
        assert made.status == 201
        assert (made.body["app_status"], made.body["app_priority"]) == ("ON", 3)
        assert len(made.body["backing_qkdl_id"]) == 2
        path = f"/v1/apps/{made.body['app_id']}"
        left = world.admin("POST", "/v1/apps/check", self.body(1.0)).body["offer"]["min_bandwidth"]
        assert left < offer
        node = world.admin("GET", "/v1/nodes/metro1").body["etsi-qkd-sdn-node:qkd_node"]
        assert all(link["qkdl_performance"]["expected_consumption"] > 0 for link in node["qkd_links"]["qkd_link"])
        assert world.admin("PATCH", path, {"app_qos": {"min_bandwidth": 10.0}}).body["app_qos"]["min_bandwidth"] == 10
        assert world.admin("PATCH", path, {"app_qos": {"min_bandwidth": 1e11}}).status == 409
        assert world.admin("GET", path).body["app_qos"]["min_bandwidth"] == 10
        assert world.admin("DELETE", path).status == 204
        assert world.admin("GET", path).status == world.admin("DELETE", path).status == 404

    @pytest.mark.parametrize(
        "change",
        [{"server_app_id": "nobody"}, {"client_app_id": []}, {"app_qos": {"min_bandwidth": -1}}, {"surprise": 1},
         {"app_qos": {"min_bandwidth": 2, "max_bandwidth": 1}}, {"key_source": "rsa"}, {"app_id": "x"}],
    )  # fmt: skip
    def test_wrong_requests(self, world: KmsWorld, change: dict[str, Any]) -> None:
        answer = world.admin("POST", "/v1/apps", {**self.body(1.0), **change})
        assert answer.status == 400
        assert answer.body["message"]

    def test_quotas_and_throttles(self, world: KmsWorld) -> None:
        world.credentials("greedy", "cell1")
        world.credentials("hasty", "cell1")
        dh = {"extension_mandatory": [{"key_source": "dh"}], "number": 16}
        answers = [world.enc("cell1", "greedy", "sae-metro1", **dh) for _ in range(4)]
        assert answers[0].status == 200
        assert answers[-1].status == 503
        assert "quota" in answers[-1].body["message"]
        answers = [world.ask("cell1", "hasty", "GET", "/sae-metro1/status") for _ in range(15)]
        assert (answers[0].status, answers[-1].status) == (200, 503)
        assert "too often" in answers[-1].body["message"]

    def test_pools_say_how_full_they_are(self, world: KmsWorld) -> None:
        world.enc("cell1", "sae-cell1", "sae-metro1")
        wait_until(lambda: all(pool["state"] == "READY" for pool in world.admin("GET", "/v1/keys").body["pools"]), 20)


def test_notifications_follow_an_eavesdropper(world: KmsWorld) -> None:
    connection = http.client.HTTPConnection("localhost", timeout=20 * PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(20)
    connection.sock.connect(str(Path(world.config.admin_socket)))
    try:
        world.admin("POST", "/v1/sections/s3/eavesdrop", {"fraction": 1.0})
        connection.request("GET", "/v1/events")
        stream = connection.getresponse()
        down = next_event(stream, "link_down", "east")
        assert down["qkdl_status"] == "OFF"
        world.admin("DELETE", "/v1/sections/s3/eavesdrop")
        up = next_event(stream, "link_perf_update", "east")
        assert up["id"] > down["id"]
    finally:
        connection.close()
    assert world.admin("GET", "/v1/events?after=x").status == 400


@pytest.mark.parametrize("last", ["", "0"])
def test_fault_33_an_empty_last_event_id_is_none(world: KmsWorld, last: str) -> None:
    connection = http.client.HTTPConnection("localhost", timeout=20 * PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(Path(world.config.admin_socket)))
    try:
        connection.request("GET", "/v1/events", headers={"Last-Event-ID": last})
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def next_event(stream: http.client.HTTPResponse, kind: str, link: str) -> dict[str, Any]:
    while line := stream.readline():
        if line.startswith(b"data: "):
            event: dict[str, Any] = json.loads(line[6:])
            if event["event"] == kind and event["qkdl_id"] == link:
                return event
    raise AssertionError("the stream ended")


def test_who_is_turned_away_is_told(world: KmsWorld) -> None:
    (key,) = world.enc("cell1", "sae-cell1", "sae-core1").body["keys"]
    assert world.dec("metro1", "sae-metro1", "sae-cell1", key["key_ID"]).status == 401
    connection = http.client.HTTPConnection("localhost", timeout=20 * PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(20)
    connection.sock.connect(str(Path(world.config.admin_socket)))
    try:
        connection.request("GET", "/v1/events")
        stream = connection.getresponse()
        while line := stream.readline():
            if line.startswith(b"data: ") and (event := json.loads(line[6:])).get("sae") == "sae-metro1":
                break
    finally:
        connection.close()
    assert (event["event"], event["site"]) == ("refused", "metro1")
    assert key["key"] not in str(event)


@pytest.mark.parametrize("spelt", [str.upper, str.title, str.lower])
def test_fault_22_a_key_is_found_by_its_id_in_letters_of_any_case(world: KmsWorld, spelt: Callable[[str], str]) -> None:
    dh = {"extension_mandatory": [{"key_source": "dh"}]}
    one, two, three = world.enc("cell1", "sae-cell1", "sae-metro1", number=3, **dh).body["keys"]
    twice = world.dec("metro1", "sae-metro1", "sae-cell1", one["key_ID"], one["key_ID"].upper())
    assert (twice.status, twice.body["message"]) == (400, "a key_ID is given twice")
    assert world.dec("metro1", "sae-metro1", "sae-cell1", spelt(one["key_ID"])).body["keys"] == [one]
    path = f"/sae-cell1/dec_keys?key_ID={spelt(two['key_ID'])}"
    assert world.ask("metro1", "sae-metro1", "GET", path).body["keys"] == [two]
    skip = f"/key/{spelt(uuid.UUID(three['key_ID']).hex)}?remoteSystemID=sae-cell1"
    found = ask(world, "metro1", skip).body
    assert (found["keyId"], found["key"]) == (uuid.UUID(three["key_ID"]).hex, base64.b64decode(three["key"]).hex())
    # Digits of another script are not the same letters in another case.
    arabic = "".join(chr(0x660 + int(c)) if c.isdigit() else c for c in uuid.UUID(three["key_ID"]).hex)
    assert ask(world, "metro1", f"/key/{quote(arabic)}?remoteSystemID=sae-cell1").body["message"].startswith("keyId")


def test_fault_22_our_client_asks_for_one_key_once_however_it_is_spelt(world: KmsWorld) -> None:
    out = {site: world.credentials(f"sae-{site}") for site in ("cell1", "metro1")}

    def client(site: str) -> Kme014Client:
        return Kme014Client(world.urls[site], out[site] / "cert.pem", out[site] / "key.pem", out[site] / "ca.pem")

    async def scenario() -> None:
        async with client("cell1") as master, client("metro1") as slave:
            (first, key), (second, other) = await master.enc_keys("sae-metro1", "dh", 2)
            with pytest.raises(KmeRefusedError, match="twice"):
                await slave.dec_keys("sae-cell1", [first, first.upper()])
            for wrong in ("", "x", "{" + first + "}", first.replace("-", "")):
                with pytest.raises(KmeRefusedError, match="not a UUID"):
                    await slave.dec_keys("sae-cell1", [wrong])
            assert await slave.dec_keys("sae-cell1", [second.upper(), first.title()]) == [other, key]

    asyncio.run(scenario())
