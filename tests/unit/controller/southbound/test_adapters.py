"""The controller's edges: journal, configuration, token, KMS and tunnel clients, events."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.tunnel_endpoint import TunnelEndpoint, as_wire
from controller.model.errors import ConfigError, DriverError, KeysMissing
from controller.model.events import LinkChanged, LinkState, SliceChanged, StreamReset
from controller.model.states import SliceState
from controller.operations.event_log import FOLLOWER_BACKLOG, EventLog
from controller.persistence.sqlite_journal import Store, StoreError
from controller.schema.config import load_config
from controller.southbound.kms_client import KmsClient, KmsError
from controller.southbound.tunnel_client import TunnelClient, TunnelError
from tests.support.controller_bench import Bench, request_for
from tests.support.fake_agents import FakeKms, FakeTunnelAgent
from topologies.catalog import ukqntel


def test_what_is_saved_is_read_back_equal(tmp_path: Path) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    bench.slices.create(request_for("enterprise-app"))
    bench.slices.create(request_for("cdn"))
    bench.cut("agg1-metro1-ch3")
    for name in ("enterprise-app", "cdn"):
        record = bench.model.slice(name)
        assert (record, bench.model.connections_of(name)) in bench.store.load()


def test_the_database_is_private(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o600


def test_a_database_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "db")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database, and long enough to look at" * 100)
    with pytest.raises(StoreError, match="db"):
        Store(tmp_path / "db")


def test_a_locked_database_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    bench.store.close()
    bench.store = Store(tmp_path / "db", busy_timeout_s=0.01)
    bench.context.journal = bench.store
    start = bench.state()
    other = sqlite3.connect(tmp_path / "db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DriverError, match="locked"):
        bench.slices.create(request_for("cdn"))
    other.execute("ROLLBACK")
    other.close()
    assert bench.state() == start


def config(tmp_path: Path, **changes: Any) -> Path:
    raw = {
        "topology": ukqntel().to_dict(),
        "database": "db",
        "token_file": "token",
        "openflow": {"tls": False},
        "kms_socket": "kms.sock",
        "tunnel_sockets": {},
        **changes,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_configuration_is_read(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path))
    assert loaded.parsed_topology() == ukqntel()
    assert (loaded.api.host, loaded.api.port) == ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"api": {"port": 70000}}, "api.port"),
        ({"api": {"hots": "x"}}, "api.hots"),
        ({"openflow": {}}, "openflow"),
        ({"hold_down_s": -1}, "hold_down_s"),
        ({"database": None}, "database"),
    ],
)
def test_a_wrong_configuration_names_the_field(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(config(tmp_path, **changes))


def test_a_configuration_without_a_usable_topology_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="topology"):
        load_config(config(tmp_path, topology={"name": "x"})).parsed_topology()
    with pytest.raises(ConfigError):
        load_config(tmp_path / "missing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="JSON"):
        load_config(tmp_path / "bad.json")


def test_key_rates_come_from_the_kms_and_doubt_counts_as_unusable(tmp_path: Path) -> None:
    kms = FakeKms(tmp_path / "kms", ["s1", "s2", "s3", "s4", "s5", "s6"], skr_bps=1234.5)
    try:
        kms.sections[1]["state"] = "stopped"
        kms.sections[2]["skr_bps"] = None
        kms.sections[3]["skr_bps"] = -5
        kms.sections[4]["skr_bps"] = True
        kms.sections[5] |= {"state": "starting", "skr_bps": None, "qber": None}
        told = KmsClient(tmp_path / "kms").sections()
    finally:
        kms.close()
    assert [s.is_usable for s in told] == [True, False, False, False, False, False]
    assert [s.is_known for s in told] == [True, True, True, True, True, False]
    assert told[0].rate_millibps == 1_234_500


def test_a_kms_that_is_away_or_talks_nonsense_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KmsError):
        KmsClient(tmp_path / "nobody").sections()
    kms = FakeKms(tmp_path / "kms", [])
    kms.sections = [{"no": "id"}]
    try:
        with pytest.raises(KmsError):
            KmsClient(tmp_path / "kms").sections()
    finally:
        kms.close()


def test_the_tunnel_client_speaks_the_agents_language(tmp_path: Path) -> None:
    agent = FakeTunnelAgent(tmp_path / "a")
    client = TunnelClient({"a": tmp_path / "a", "gone": tmp_path / "gone"})
    endpoint = TunnelEndpoint(
        id="s/c", role="initiator", mode="esp", interface="q0", port=20000, peer_underlay="172.20.0.2",
        local_address="10.200.0.0", peer_address="10.200.0.1", peer_sae="sae-b", key_source="dh",
    )  # fmt: skip
    try:
        client.add("a", endpoint)
        client.add("a", endpoint)
        client.wait_up("a", "s/c", 1.0)
        assert client.held("a") == {"s/c": as_wire(endpoint)}
        with pytest.raises(TunnelError, match="differs"):
            client.add("a", replace(endpoint, port=1))
        client.remove("a", "s/c")
        client.remove("a", "s/c")
        assert client.held("a") == {}
        for site in ("gone", "unheard-of"):
            with pytest.raises(TunnelError, match=site):
                client.held(site)
    finally:
        agent.close()


@pytest.mark.parametrize("lacks_key", [True, False])
def test_the_tunnel_client_tells_a_want_of_keys_from_other_refusals(tmp_path: Path, lacks_key: bool) -> None:
    agent = FakeTunnelAgent(tmp_path / "a")
    agent.refuse["wait_up"], agent.lacks_key = "s/c is waiting after 1 s", lacks_key
    try:
        with pytest.raises(TunnelError, match="s/c is waiting") as caught:
            TunnelClient({"a": tmp_path / "a"}).wait_up("a", "s/c", 1.0)
        assert isinstance(caught.value, KeysMissing) is lacks_key
    finally:
        agent.close()


def test_a_follower_that_falls_behind_is_cut_off_and_holds_up_nobody() -> None:
    events = EventLog(clock=lambda: 1.0)
    slow, quick = events.follow(), events.follow()
    for n in range(FOLLOWER_BACKLOG + 1):
        events.publish(LinkChanged(f"c{n}", LinkState.UP))
        assert quick.next(1.0) is not None
    assert slow.is_cut_off
    assert not quick.is_cut_off
    events.unfollow(slow)
    assert events.follow(after=FOLLOWER_BACKLOG).next(0.0) is not None


def test_fault_30_a_follower_from_before_the_clock_was_set_back_is_told_that_it_missed_something() -> None:
    ahead = EventLog(clock=lambda: 1_000_000.0)
    ahead.publish(SliceChanged("s", SliceState.ACTIVE))
    reader = ahead.follow(after=0)
    reset, seen = reader.next(0.0), reader.next(0.0)
    assert reset is not None
    assert isinstance(reset.what, StreamReset)
    assert seen is not None
    after = EventLog(clock=lambda: 1_000.0)  # the next process
    after.publish(SliceChanged("s", SliceState.DELETED))
    follower = after.follow(after=seen.sequence)
    first, second = follower.next(0.0), follower.next(0.0)
    assert first is not None
    assert isinstance(first.what, StreamReset)
    assert second is not None
    assert second.what == SliceChanged("s", SliceState.DELETED)
