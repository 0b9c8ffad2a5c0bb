"""Two real agents as processes: without their KME, killed, asked for what cannot be, started twice, told to end."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.tunnel_lab import Lab, MakePair, Pair, loss_pct
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun, pytest.mark.counts_packets]


def test_without_a_kme_traffic_goes_on_until_the_lifetime_and_resumes_with_it(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair(rekey_s=0.3, lifetime_s=4.0)
    lab.stop("kme")
    try:
        wait_until(lambda: pair.stats("a")["last_error"] is not None, 3.0, 0.05)
        assert loss_pct(pair.ping("-c", "10", "-i", "0.01")) == 0
        wait_until(lambda: {pair.stats(name)["state"] for name in "ab"} == {"expired"}, 5.0)
        before = pair.stats("a")["tx_packets"]
        assert loss_pct(pair.ping("-c", "3", "-i", "0.01", "-w", "1")) == 100
        assert pair.stats("a")["tx_packets"] == before
        answer = lab.clients["a"].ask("wait_up", connection_id=pair.id, timeout_s=0.05)
        assert answer["error"]["type"] == "unavailable"
        assert answer["error"]["reason"] == "no_key"
        assert "expired" in answer["error"]["message"]
    finally:
        lab.start_kme()
    pair.wait_up()
    assert loss_pct(pair.ping("-c", "10", "-i", "0.01")) == 0


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_killed_agent_comes_back_with_a_fresh_key(lab: Lab, make_pair: MakePair, name: str) -> None:
    pair = make_pair(rekey_s=30.0)
    key_id = pair.stats("a")["key_id"]
    lab.stop_agent(name, signal.SIGKILL)
    assert pair.interface not in lab.run(name, "ip", "link"), "a TUN device goes with its process"
    assert lab.socket_path(name).exists(), "what a killed agent leaves behind must not stop the next"
    lab.start_agent(name)
    lab.clients[name].do("add", connection=pair.config(name))
    lab.clients[name].do("wait_up", connection_id=pair.id, timeout_s=5.0 * PATIENCE)
    wait_until(lambda: pair.stats("a")["key_id"] != key_id, 5.0)
    assert loss_pct(pair.ping("-c", "10", "-i", "0.01")) == 0


def test_requests_that_cannot_be_met(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    client = lab.clients["a"]

    def error(answer: dict[str, Any]) -> tuple[str, str | None]:
        assert not answer["ok"]
        return answer["error"]["type"], answer["error"].get("field")

    config = pair.config("a")
    assert client.do("add", connection=config)["created"] is False
    assert error(client.ask("add", connection={**config, "rekey_s": 9})) == ("conflict", "connection")
    other = {**config, "id": "test/other", "local_address": "10.201.0.1", "peer_address": "10.201.0.2"}
    assert error(client.ask("add", connection=other)) == ("conflict", "connection.port")
    other["port"] = 1
    assert error(client.ask("add", connection=other)) == ("conflict", "connection.interface")
    other["interface"] = "mgmt0"
    assert error(client.ask("add", connection=other)) == ("conflict", "connection.interface")
    assert error(client.ask("add", connection={**other, "port": "x"})) == ("invalid", "connection.port")
    assert error(client.ask("add", connection={**other, "colour": "red"})) == ("invalid", "connection.colour")
    assert error(client.ask("remove", connection_id="nobody")) == ("not_found", None)
    assert error(client.ask("wait_up", connection_id="nobody")) == ("not_found", None)
    assert error(client.ask_raw(b"{")) == ("invalid", None)
    assert error(client.ask_raw(b"[1]")) == ("invalid", None)
    assert error(client.ask_raw(b'{"id": 7, "op": "dance"}')) == ("invalid", "op")
    (listed,) = client.do("list")["connections"]
    assert (listed["id"], listed["state"]) == (pair.id, "up")
    text = client.do("metrics")["text"]
    assert f'qslice_tunnel_up{{host="a",connection="{pair.id}",key_source="qra"}} 1' in text
    assert 'qslice_tunnel_loop_lag_seconds_bucket{host="a",le="+Inf"}' in text
    stats = client.do("stats")["connections"][pair.id]
    assert [sa["stage"] for sa in stats["sas"]].count("current") == 1


def test_requests_on_one_connection_are_answered_as_they_complete(lab: Lab, numbers: Iterator[int]) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10.0)
        raw.connect(str(lab.socket_path("a")))
        pair = Pair(lab, next(numbers), {})
        lab.clients["a"].do("add", connection=pair.config("a"))
        raw.sendall(
            json.dumps({"id": "slow", "op": "wait_up", "connection_id": pair.id, "timeout_s": 0.3}).encode()
            + b"\n"
            + json.dumps({"id": "quick", "op": "list"}).encode()
            + b"\n"
        )
        lines = raw.makefile("rb")
        assert [json.loads(lines.readline())["id"] for _ in range(2)] == ["quick", "slow"]
        lab.clients["a"].do("remove", connection_id=pair.id)


def test_a_second_agent_is_refused_and_the_first_is_not_disturbed(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    lab.start("second", "a", sys.executable, "-m", "kms.tunnel", "--config", str(lab.config_path("a")))
    assert lab.processes.pop("second").wait(20.0 * PATIENCE) == 3
    assert "another agent" in (lab.directory / "second.log").read_text()
    assert loss_pct(pair.ping("-c", "5", "-i", "0.01")) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(lab: Lab, make_pair: MakePair, number: int) -> None:
    lab.stop_agent("a")
    lab.run("a", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/data0/rp_filter")
    lab.start_agent("a")
    pair, clear = make_pair(), make_pair(mode="clear", key_source="none")
    assert lab.stop_agent("a", number) == 0
    try:
        shown = lab.run("a", "ip", "addr") + lab.run("a", "ip", "route")
        assert pair.interface not in shown
        assert clear.address("a") not in shown
        assert not lab.socket_path("a").exists()
        assert lab.run("a", "cat", "/proc/sys/net/ipv4/conf/data0/rp_filter").strip() == "0"
        log = (lab.directory / "agent-a.log").read_text()
        assert "Traceback" not in log
    finally:
        lab.start_agent("a")
