"""One process per site: ETSI 014 clients notice no difference, KMEs let no one else in, keys follow the sections."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kms.config import parse_config
from kms.distributed.node import sites_of_process
from kms.errors import ConfigError
from tests.support.distributed_kms import LINE, SITES, DistributedKms, distributed_kms
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import load


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DistributedKms]:
    with distributed_kms(tmp_path_factory.mktemp("distributed"), SITES) as running:
        for site in LINE:
            running.world.credentials(f"sae-{site}", site)
        for name in ("roamer", "late", "nomad-1", "nomad-2"):
            running.world.credentials(name)
        wait_until(lambda: all(bits > 20_000 for bits in running.available_bits("cell1").values()), 20)
        yield running


def fetch(kms: DistributedKms, source: str, slave: str = "core1", number: int = 2, **more: Any) -> None:
    """Keys from cell1, and their twins at the slave's site: equal, each once."""
    world = kms.world
    body = {"number": number, "extension_mandatory": [{"key_source": source}], **more}
    answer = world.enc("cell1", "sae-cell1", f"sae-{slave}", **body)
    assert answer.status == 200, answer.body
    keys = {entry["key_ID"]: entry["key"] for entry in answer.body["keys"]}
    assert len(set(keys.values())) == number
    twins = world.dec(slave, f"sae-{slave}", "sae-cell1", *keys)
    assert twins.status == 200, twins.body
    assert {entry["key_ID"]: entry["key"] for entry in twins.body["keys"]} == keys
    assert world.dec(slave, f"sae-{slave}", "sae-cell1", *keys).status == 400


@pytest.mark.parametrize(
    ("source", "slave"),
    [("dh", "metro1"), ("qra", "core1"), ("qkd", "metro1"), ("qkd", "cell1"), ("qkd+qra", "core1"),
     ("qkd+qra+dh", "core1")],
)  # fmt: skip
def test_both_ends_get_the_same_keys_each_once(kms: DistributedKms, source: str, slave: str) -> None:
    fetch(kms, source, slave)


def test_other_sizes_and_more_keys_than_a_pool_has(kms: DistributedKms) -> None:
    fetch(kms, "qra+dh", size=1024, number=3)
    fetch(kms, "dh", number=100)


def test_who_is_not_named_gets_nothing(kms: DistributedKms) -> None:
    world = kms.world
    answer = world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=[{"key_source": "dh"}])
    key_id = answer.body["keys"][0]["key_ID"]
    assert world.dec("metro1", "sae-metro1", "sae-cell1", key_id).status == 401
    assert world.dec("core1", "sae-core1", "sae-metro1", key_id).status == 400
    assert world.dec("core1", "sae-core1", "sae-cell1", key_id).status == 200


def test_a_multicast_reaches_every_site_and_each_slave_once(kms: DistributedKms) -> None:
    world = kms.world
    answer = world.enc(
        "cell1", "sae-cell1", "sae-core1", additional_slave_SAE_IDs=["sae-metro1"],
        extension_mandatory=[{"key_source": "qra"}],
    )  # fmt: skip
    assert answer.status == 200, answer.body
    (entry,) = answer.body["keys"]
    for site in ("core1", "metro1"):
        twin = world.dec(site, f"sae-{site}", "sae-cell1", entry["key_ID"])
        assert twin.body["keys"][0]["key"] == entry["key"]
        assert world.dec(site, f"sae-{site}", "sae-cell1", entry["key_ID"]).status == 400


@pytest.mark.parametrize("source", ["qkd", "qkd+qra"])
def test_a_slave_that_nobody_has_seen_gets_its_key_where_it_asks(kms: DistributedKms, source: str) -> None:
    world = kms.world
    answer = world.enc("cell1", "sae-cell1", "late", extension_mandatory=[{"key_source": source}])
    (entry,) = answer.body["keys"]
    twin = world.dec("core1", "late", "sae-cell1", entry["key_ID"])
    assert twin.status == 200, twin.body
    assert twin.body["keys"][0]["key"] == entry["key"]
    assert world.dec("core1", "late", "sae-cell1", entry["key_ID"]).status == 400
    assert world.dec("metro1", "late", "sae-cell1", entry["key_ID"]).status == 400


@pytest.mark.parametrize("source", ["qkd", "qkd+qra"])
def test_fault_13_keys_say_how_they_came_whichever_kme_brings_them(kms: DistributedKms, source: str) -> None:
    """core1 is one section from metro1, cell1 two: what is relayed for one slave is not direct for another."""
    world, nomad = kms.world, "nomad-1" if source == "qkd" else "nomad-2"  # seen nowhere yet
    asked = {"extension_mandatory": [{"key_source": source}]}
    both = world.enc("metro1", "sae-metro1", "sae-core1", additional_slave_SAE_IDs=["sae-cell1"], **asked)
    assert both.status == 200, both.body
    late = world.enc("metro1", "sae-metro1", nomad, number=2, **asked)
    assert [entry["key_extension"] for entry in late.body["keys"]] == 2 * [{"key_source": source}]
    twins = world.dec("cell1", nomad, "sae-metro1", *(entry["key_ID"] for entry in late.body["keys"]))
    assert [entry["key"] for entry in twins.body["keys"]] == [entry["key"] for entry in late.body["keys"]]
    (entry,) = both.body["keys"]
    told = [entry, *twins.body["keys"]]
    for site in ("core1", "cell1"):
        told += world.dec(site, f"sae-{site}", "sae-metro1", entry["key_ID"]).body["keys"]
    assert {each["key_extension"]["route"] for each in told} == {"relayed"}


def ask_peer(kms: DistributedKms, tls: ssl.SSLContext, *asked: tuple[str, Any]) -> list[int]:
    """What core1's interface for KMEs answers to each method and body, over one connection."""
    port = next(site.peer_port for site in kms.config.sites if site.site == "core1")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=5 * PATIENCE)
    statuses: list[int] = []
    try:
        for method, body in asked:
            connection.request("POST", f"/kme/v1/{method}", json.dumps(body).encode())
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    finally:
        connection.close()
    return statuses


def test_only_kmes_may_talk_to_kmes(kms: DistributedKms) -> None:
    assert ask_peer(kms, kms.peer_tls("cell1"), ("state", {})) == [200]
    assert ask_peer(kms, kms.world.tls("sae-cell1"), ("state", {})) == [401]
    anonymous = ssl.create_default_context(cafile=str(kms.directory / "pki" / "ca.pem"))
    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
        ask_peer(kms, anonymous, ("state", {}))


def test_malformed_messages_between_kmes_are_refused(kms: DistributedKms) -> None:
    bodies: list[Any] = [
        [], {}, {"key_ids": 3}, {"key_ids": ["x"]}, {"hello": "!", "key_ids": []}, {"header": "{}", "index": 0},
        {"header": '{"path": [["s3", true]]}', "index": 0, "ciphertext": "", "tag": "", "generation": "", "at": -1},
        {"header": '{"path": [["s3", true]]}', "index": 0, "ciphertext": "", "tag": "", "generation": "", "at": 0},
    ]  # fmt: skip
    methods = ("exchange", "wrapped", "entrust", "claim", "relay", "bits", "stream-join", "stream-turn", "nonsense")
    asked = [(method, body) for method in methods for body in bodies]
    assert set(ask_peer(kms, kms.peer_tls("cell1"), *asked)) == {400}


def test_well_formed_messages_about_what_is_not_there_are_refused(kms: DistributedKms) -> None:
    some = str(uuid.uuid4())
    asked: list[tuple[str, Any]] = [
        ("exchange", {"hello": "aGVsbG8=", "key_ids": [some]}),
        ("wrapped", {"key_id": some, "wrapping_id": some, "source": "dh", "wrapped": ""}),
        ("bits", {"section": "s9", "generation": "g", "at": 0, "forward": "", "backward": ""}),
        ("bits", {"section": "s3", "generation": "g", "at": 0, "forward": "", "backward": ""}),
    ]
    assert set(ask_peer(kms, kms.peer_tls("cell1"), *asked)) == {409}


def test_a_kmes_certificate_is_no_saes(kms: DistributedKms) -> None:
    answer = kms.world.ask_with(kms.peer_tls("cell1"), "cell1", "GET", "/api/v1/keys/sae-core1/status")
    assert answer.status == 401


def way_of_reservation(kms: DistributedKms) -> set[str]:
    (reservation,) = kms.admin("cell1", "GET", "/v1/keys").body["reservations"]
    return set(reservation["sections"])


def test_an_eavesdropper_moves_keys_to_another_way_and_two_leave_none(kms: DistributedKms) -> None:
    app = {
        "server_app_id": "sae-cell1", "client_app_id": ["sae-core1"], "key_source": "qkd", "app_priority": 1,
        "app_qos": {"min_bandwidth": 1, "max_bandwidth": 100_000},
    }  # fmt: skip
    assert kms.admin("cell1", "POST", "/v1/apps", app).status in (200, 201)
    assert way_of_reservation(kms) == {"r1", "r2"}
    assert kms.admin("tn2", "POST", "/v1/sections/r2/eavesdrop", {"fraction": 1.0}).status == 200
    wait_until(lambda: kms.available_bits("cell1")["r2"] == 0, 10)
    fetch(kms, "qkd", size=512)  # no pool has these: it is relayed now, over four nodes
    wait_until(lambda: way_of_reservation(kms) == {"s1", "s2", "s3"}, 5)
    links = {link["id"]: link for link in kms.admin("cell1", "GET", "/v1/keys").body["links"]}
    assert not links["round"]["usable"]
    assert links["west"]["usable"]
    assert kms.admin("metro1", "POST", "/v1/sections/s3/eavesdrop", {"fraction": 1.0}).status == 200
    wait_until(lambda: kms.available_bits("cell1")["s3"] == 0, 10)
    answer = kms.world.enc("cell1", "sae-cell1", "sae-core1", size=512, extension_mandatory=[{"key_source": "qkd"}])
    assert answer.status == 503
    fetch(kms, "qra")
    for site, section in (("tn2", "r2"), ("metro1", "s3")):
        kms.admin(site, "DELETE", f"/v1/sections/{section}/eavesdrop")
    wait_until(lambda: all(bits > 20_000 for bits in kms.available_bits("cell1").values()), 20)
    fetch(kms, "qkd", size=512)


class TestStreamsOverTwoKmes:
    """ETSI 004: opened at one KME, joined at another; the same chunks under the same indices."""

    QOS = MappingProxyType({"Key_chunk_size": 200, "Max_bps": 10_000_000, "Min_bps": 1_000})

    def call(self, kms: DistributedKms, site: str, function: str, **body: Any) -> dict[str, Any]:
        path = f"/api/etsi004/v2.1/{function}"
        answer = kms.world.ask_with(kms.world.tls(f"sae-{site}"), site, "POST", path, body)
        assert answer.status == 200, answer.body
        return dict(answer.body)

    def open(self, kms: DistributedKms, site: str, peer: str, stream: str | None = None) -> dict[str, Any]:
        more = {} if stream is None else {"Key_stream_ID": stream}
        ends = {"Source": f"sae-{site}", "Destination": f"sae-{peer}"}
        return self.call(kms, site, "open_connect", QoS=dict(self.QOS), **ends, **more)

    def opened(self, kms: DistributedKms, site: str, peer: str) -> str:
        """A new stream; rates of sections that have just been mended are told, and routes found, after their bits."""
        tried: list[dict[str, Any]] = []

        def is_open() -> bool:
            tried.append(self.open(kms, site, peer))
            return bool(tried[-1]["Status"] == 1)

        wait_until(is_open, 10, 0.1)
        return str(tried[-1]["Key_stream_ID"])

    def applications(self, kms: DistributedKms) -> set[str]:
        return {app["app_id"] for app in kms.admin("cell1", "GET", "/v1/apps").body["qkd_app"]}

    def test_both_ends_get_the_same_whoever_asks_first_and_each_once(self, kms: DistributedKms) -> None:
        stream = self.opened(kms, "cell1", "core1")
        assert self.call(kms, "cell1", "get_key", Key_stream_ID=stream)["Status"] == 3
        joined = self.open(kms, "core1", "cell1", stream)
        assert (joined["Status"], joined["QoS"]["Min_bps"]) == (0, 1_000)
        assert self.open(kms, "core1", "cell1", stream)["Status"] == 5
        assert self.open(kms, "metro1", "core1", stream)["Status"] == 5
        chunks: dict[str, list[str]] = {"cell1": [], "core1": []}
        for order in (("cell1", "core1"), ("core1", "cell1"), ("core1", "cell1")):
            for site in order:
                chunk = self.call(kms, site, "get_key", Key_stream_ID=stream)
                assert chunk["Status"] == 0
                chunks[site].append(chunk["Key_buffer"])
        assert chunks["cell1"] == chunks["core1"]
        assert len(set(chunks["cell1"])) == 3
        assert self.call(kms, "core1", "get_key", Key_stream_ID=stream, Index=1)["Status"] == 2
        assert stream in self.applications(kms)
        assert self.call(kms, "core1", "close", Key_stream_ID=stream)["Status"] == 1
        assert self.call(kms, "cell1", "close", Key_stream_ID=stream)["Status"] == 0
        assert stream not in self.applications(kms)

    def test_both_ends_at_once(self, kms: DistributedKms) -> None:
        stream = self.opened(kms, "core1", "metro1")
        assert self.open(kms, "metro1", "core1", stream)["Status"] == 0
        for index in range(3):
            with ThreadPoolExecutor(2) as pool:
                asked = [
                    pool.submit(self.call, kms, site, "get_key", Key_stream_ID=stream, Index=index)
                    for site in ("core1", "metro1")
                ]
                first, second = (each.result() for each in asked)
            assert first["Status"] == second["Status"] == 0
            assert first["Key_buffer"] == second["Key_buffer"]
        for site in ("core1", "metro1"):
            self.call(kms, site, "close", Key_stream_ID=stream)

    def test_no_kme_speaks_for_anothers_end(self, kms: DistributedKms) -> None:
        stream = self.opened(kms, "core1", "metro1")
        join = {
            "key_stream_id": stream, "caller": "sae-metro1", "destination": "sae-core1",
            "qos": {"key_chunk_size": 32, "max_bps": 100},
        }  # fmt: skip
        turn = {"key_stream_id": stream, "caller": "sae-core1", "index": 0}
        assert ask_peer(kms, kms.peer_tls("cell1"), ("stream-join", join), ("stream-turn", turn)) == [401, 401]
        assert ask_peer(kms, kms.peer_tls("metro1"), ("stream-turn", turn)) == [401]
        self.call(kms, "core1", "close", Key_stream_ID=stream)

    def test_an_end_whose_kme_restarts_joins_anew(self, kms: DistributedKms) -> None:
        stream = self.opened(kms, "cell1", "core1")
        assert self.open(kms, "core1", "cell1", stream)["Status"] == 0
        kms.kill("core1")
        wait_until(lambda: self.call(kms, "cell1", "get_key", Key_stream_ID=stream)["Status"] == 3, 10)
        kms.start("core1")
        kms.wait_ready("core1")
        wait_until(lambda: self.open(kms, "core1", "cell1", stream)["Status"] == 0, 10, 0.1)
        wait_until(lambda: kms.available_bits("cell1")["s3"] > 20_000, 20)
        wait_until(lambda: kms.available_bits("core1")["s3"] > 20_000, 20)
        first = self.call(kms, "core1", "get_key", Key_stream_ID=stream, Index=9)
        second = self.call(kms, "cell1", "get_key", Key_stream_ID=stream, Index=9)
        assert first["Status"] == second["Status"] == 0
        assert first["Key_buffer"] == second["Key_buffer"]
        for site in ("core1", "cell1"):
            self.call(kms, site, "close", Key_stream_ID=stream)


def test_disjoint_relays_meet_at_the_far_kme_alone(kms: DistributedKms) -> None:
    for source in ("qkd", "qkd+qra"):
        extensions = [{"key_source": source, "disjoint_relays": 2}]
        answer = kms.world.enc("cell1", "sae-cell1", "sae-core1", number=2, extension_mandatory=extensions)
        assert answer.status == 200, answer.body
        keys = {entry["key_ID"]: entry for entry in answer.body["keys"]}
        said = {"key_source": source, "route": "relayed", "disjoint_relays": 2}
        assert all(entry["key_extension"] == said for entry in keys.values())
        twins = kms.world.dec("core1", "sae-core1", "sae-cell1", *keys)
        assert {entry["key_ID"]: entry for entry in twins.body["keys"]} == keys
    refused = kms.world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=[{"disjoint_relays": 3}])
    assert refused.status == 400


def test_a_section_that_is_cut_is_gone_round_by_every_kme(kms: DistributedKms) -> None:
    assert kms.admin("cell1", "POST", "/v1/sections/r1/cut").status == 200
    wait_until(lambda: kms.available_bits("cell1")["r1"] == kms.available_bits("metro1")["r1"] == 0, 10)
    fetch(kms, "qkd", size=512)
    kms.admin("cell1", "DELETE", "/v1/sections/r1/cut")
    wait_until(lambda: all(bits > 20_000 for bits in kms.available_bits("cell1").values()), 20)


def test_a_trusted_node_that_dies_is_gone_round_and_comes_back(kms: DistributedKms) -> None:
    kms.kill("tn2")
    fetch(kms, "dh")
    wait_until(lambda: kms.available_bits("cell1")["r1"] == 0, 10)
    fetch(kms, "qkd", size=512)
    kms.start("tn2")
    kms.wait_ready("tn2")
    wait_until(lambda: all(bits > 20_000 for bits in kms.available_bits("cell1").values()), 20)
    fetch(kms, "qkd", size=512)


def test_the_far_kme_restarts_and_keys_that_were_given_are_still_there(kms: DistributedKms) -> None:
    world = kms.world
    answer = world.enc("cell1", "sae-cell1", "sae-core1", number=3, extension_mandatory=[{"key_source": "dh"}])
    keys = {entry["key_ID"]: entry["key"] for entry in answer.body["keys"]}
    kms.kill("core1")
    assert world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=[{"key_source": "dh"}]).status == 503
    kms.start("core1")
    kms.wait_ready("core1")
    twins = world.dec("core1", "sae-core1", "sae-cell1", *keys)
    assert {entry["key_ID"]: entry["key"] for entry in twins.body["keys"]} == keys
    fetch(kms, "dh")


def test_configurations_that_cannot_be_distributed_are_refused(tmp_path: Path) -> None:
    from tests.support.distributed_kms import distributed_config

    raw = distributed_config(tmp_path, LINE)
    with pytest.raises(ConfigError, match="--site"):
        sites_of_process(parse_config(json.dumps(raw)), "mars")
    raw["sections"][0]["b"] = raw["sections"][1]["a"] = "room"
    with pytest.raises(ConfigError, match="nodes"):
        sites_of_process(parse_config(json.dumps(raw)), "cell1")
    raw["nodes"] = {"room": "tn1"}
    assert sites_of_process(parse_config(json.dumps(raw)), "cell1")[0].site == "cell1"
    raw["nodes"] = {"room": "cell1"}
    with pytest.raises(ConfigError, match="both its nodes"):
        sites_of_process(parse_config(json.dumps(raw)), "cell1")


UKQNTEL = ("adastral", "tn1", "tn2", "tn3", "cambridge")


def test_the_real_line_of_ukqntel_four_sections_three_trusted_nodes(tmp_path: Path) -> None:
    """Its QKD nodes, a process each; the key crosses all four sections, and `routes` says by whom it is seen."""
    spans = [*itertools.pairwise(UKQNTEL)]
    sections = [{"id": f"s{n}", "a": a, "b": b, "length_km": 30.0} for n, (a, b) in enumerate(spans, start=1)]
    links = [{"id": f"{a}-{b}", "a": a, "b": b, "sections": [f"s{n}"]} for n, (a, b) in enumerate(spans, start=1)]
    with distributed_kms(tmp_path, UKQNTEL, sections=sections, qkd_links=links) as kms:
        for site in ("adastral", "cambridge"):
            kms.world.credentials(f"sae-{site}", site)
        wait_until(lambda: all(min(kms.available_bits(site).values()) > 20_000 for site in UKQNTEL), 20)
        answer = kms.world.enc("adastral", "sae-adastral", "sae-cambridge")
        (entry,) = answer.body["keys"]
        assert entry["key_extension"] == {"key_source": "qkd", "route": "relayed"}
        twin = kms.world.dec("cambridge", "sae-cambridge", "sae-adastral", entry["key_ID"])
        assert twin.body["keys"] == [entry]
        (route,) = kms.admin("adastral", "GET", "/v1/keys").body["routes"]
        assert (route["sections"], route["nodes"]) == (["s1", "s2", "s3", "s4"], ["tn1", "tn2", "tn3"])


def test_the_papers_topology_on_it_has_no_place_for_its_sites() -> None:
    """Every circuit of `ukqntel` is looped over the whole line: no site can be at one end of it."""
    topology = load("ukqntel")
    raw = {
        "state_dir": "x", "pki_dir": "x", "admin_socket": "x",
        "sites": [{"site": s, "kme_id": f"kme-{s}", "host": "127.0.0.1"} for s in topology.site_names],
        "sections": topology.to_dict()["sections"], "qkd_links": topology.to_dict()["qkd_links"],
    }  # fmt: skip
    for n, site in enumerate(raw["sites"]):
        site["port"] = 10_000 + n
    with pytest.raises(ConfigError, match="nodes: QKD node 'adastral' is at no site"):
        sites_of_process(parse_config(json.dumps(raw)), "cell1")
    nodes = ("adastral", "tn1", "tn2", "tn3", "cambridge")
    for places in itertools.product(topology.site_names, repeat=len(nodes)):
        with pytest.raises(ConfigError):
            sites_of_process(parse_config(json.dumps({**raw, "nodes": dict(zip(nodes, places, strict=True))})), "cell1")
