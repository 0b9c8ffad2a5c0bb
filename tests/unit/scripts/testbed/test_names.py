"""Names of what runs: for shells, and in hosts."""

from __future__ import annotations

from typing import Any

from scripts.testbed.names import hosts_file, names_file
from topologies.catalog import load

TOPOLOGY = load("ukqntel")


def connection(name: str, src: str, dst: str, number: int | None) -> dict[str, Any]:
    ends = [None, None] if number is None else [f"10.200.0.{number}", f"10.200.0.{number + 1}"]
    return {"name": name, "src": src, "dst": dst, "src_address": ends[0], "dst_address": ends[1]}


UP, ALSO = connection("up", "cell1", "metro1", 2), connection("also", "cell1", "metro1", 4)
BACK, NOT_YET = connection("back", "core1", "cell1", 6), connection("not-yet", "cell1", "agg1", None)
SLICES = [{"name": "app", "connections": [UP, ALSO]}, {"name": "b", "connections": [BACK, NOT_YET]}]


def test_a_host_knows_the_ends_of_its_connections() -> None:
    lines = hosts_file("cell1", SLICES, "127.0.0.1 localhost\n").splitlines()
    assert lines[0] == "127.0.0.1 localhost"
    assert [line for line in lines[1:] if not line.startswith("#")] == [
        "10.200.0.2 cell1.app", "10.200.0.3 metro1.app up.app", "10.200.0.5 also.app", "10.200.0.6 core1.b back.b",
        "10.200.0.7 cell1.b",
    ]  # fmt: skip


def test_a_host_knows_nothing_of_others_connections() -> None:
    assert "app" not in hosts_file("core1", SLICES, "")
    assert "10.200.0.6 core1.b" in hosts_file("core1", SLICES, "")


def test_a_shell_is_given_every_name_after_its_kind() -> None:
    lines = names_file(TOPOLOGY, SLICES, ["kms"]).splitlines()
    assert {"slice app", "connection app", "connection app/up", "site cell1", "section s1", "log kms"} <= set(lines)
    assert {f"channel {each.id}" for each in TOPOLOGY.channels} <= set(lines)
    assert len(lines) == len(set(lines))
    assert all(len(line.split()) == 2 for line in lines)
