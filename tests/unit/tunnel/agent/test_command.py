"""`tunnel stats`, and what the sessions say of their SAs."""

import json
from typing import Any

import pytest

from kms.tunnel.agent.stats import sa_stats
from scripts.cli import main
from scripts.cli.commands.keys import tunnel
from scripts.errors import EnvironmentLacks
from tests.support.tunnel_world import World, both, up
from topologies.catalog import load


class System:
    """Agents that answer, and others that do not."""

    topology = load("ukqntel")
    shelves = ()

    def __init__(self, answers: dict[str, dict[str, Any]]) -> None:
        self._answers = answers

    def tunnel_stats(self, host: str) -> dict[str, Any]:
        if host not in self._answers:
            raise EnvironmentLacks(f"the tunnel of {host} does not answer")
        return self._answers[host]


def stats_of(world: World) -> dict[str, Any]:
    session = world.a.session
    return {
        **session.counters.as_dict(), "state": "up", "reachable": True, "key_source": "dh", "key_age_s": 1.5,
        "data_plane": "userspace", "last_error": None, "rx_saved": None, "sas": sa_stats(session.live, world.now),
    }  # fmt: skip


CLEAR = {"state": "up", "mode": "clear", "key_source": "none", "reachable": None, "last_error": None}


def asked(monkeypatch: pytest.MonkeyPatch, answers: dict[str, dict[str, Any]], *words: str) -> int:
    monkeypatch.setattr(tunnel, "_system", lambda _layout: System(answers))
    return main.main(["tunnel", "stats", *words])


def test_each_sa_counts_what_it_carried_and_the_sums_are_the_connections() -> None:
    world = up(World(**both(rekey_s=0.5)))
    for n in range(100):
        world.send_payload(world.a, b"%d" % n)
        if n % 2:
            world.send_payload(world.b, b"%d" % n)
        world.run(0.01)
    counters, found = world.a.session.counters, sa_stats(world.a.session.live, world.now)
    assert counters.rekeys > 1  # so that there are several
    for name in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes"):
        assert sum(sa[name] for sa in found) == getattr(counters, name)
    assert [sa["stage"] for sa in found] == ["draining"] * (len(found) - 1) + ["current"]
    assert all(sa["rx_packets"] <= sa["rx_highest_sequence"] for sa in found)


def test_all_sites_are_shown_or_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = up(World())
    world.send_payload(world.a, b"there")
    one, two, *_ = System.topology.site_names
    answers: dict[str, dict[str, Any]] = {one: {"s/c": stats_of(world), "s/plain": CLEAR}, two: {}}
    assert asked(monkeypatch, answers, one) == 0
    shown = capsys.readouterr().out
    assert "s/c" in shown
    assert "s/plain" in shown
    (sa,) = sa_stats(world.a.session.live, world.now)
    assert sa["tx_spi"] in shown
    assert asked(monkeypatch, answers, one, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sites"][one]["connections"]["s/c"]["sas"] == [sa]
    assert list(document["sites"]) == [one]


def test_an_agent_that_does_not_answer_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, *_ = System.topology.site_names
    assert asked(monkeypatch, {one: {"s/plain": CLEAR}}, "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert list(document["sites"]) == [one]
    assert two in document["silent"]


def test_a_site_that_does_not_exist_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, {}, "atlantis") == 2
    assert "atlantis" in capsys.readouterr().err
