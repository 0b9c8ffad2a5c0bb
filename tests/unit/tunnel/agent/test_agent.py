"""The agent's book of connections: one operation on an id at a time, and changes told to whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from kms.tunnel.agent import esp_connection
from kms.tunnel.agent.agent import Agent
from kms.tunnel.config import AgentConfig, ConnectionConfig
from kms.tunnel.dataplane import addressing, kernel_host
from kms.tunnel.errors import Conflict, NotFound, Unavailable

CONFIG = AgentConfig.model_validate(
    {
        "host": "a", "sae_id": "sae-a", "control_socket": "/nowhere", "underlay_interface": "data0",
        "underlay_address": "172.20.0.2", "kme_url": "https://10.254.1.1:8443", "cert": "c", "key": "k", "ca": "a",
    }
)  # fmt: skip


def connection(n: int = 0, **changes: Any) -> ConnectionConfig:
    raw = {
        "id": f"s/c{n}", "role": "initiator", "mode": "esp", "interface": f"q{n}", "port": 20000 + n,
        "peer_underlay": "172.20.0.3", "local_address": f"10.200.0.{2 * n}", "peer_address": f"10.200.0.{2 * n + 1}",
        "peer_sae": "sae-b", "key_source": "qra",
    }  # fmt: skip
    return ConnectionConfig.model_validate(raw | changes)


class SlowConnection:
    """Opening and closing take a while; two at once are a mistake."""

    open_now = 0

    def __init__(self, config: ConnectionConfig, on_change: Callable[[], None], in_kernel: bool = True) -> None:
        self.config = config
        self.in_kernel = in_kernel
        self.on_change = on_change
        self.reachable: bool | None = None
        self.probe_s = 0.0

    async def open(self) -> None:
        SlowConnection.open_now += 1
        assert SlowConnection.open_now == 1, "two at once"
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        SlowConnection.open_now -= 1

    def modify(self, config: ConnectionConfig) -> None:
        self.config = config

    def pace_probes(self, period_s: float) -> None:
        self.probe_s = period_s

    def stats(self) -> dict[str, Any]:
        plane = "kernel" if self.in_kernel else "userspace"
        return {"state": "up", "mode": "esp", "mtu": 1438, "reachable": self.reachable, "data_plane": plane}


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Agent]:
    SlowConnection.open_now = 0
    monkeypatch.setattr(
        Agent, "_make", lambda self, config, on_change, in_kernel=True: SlowConnection(config, on_change, in_kernel)
    )
    return lambda: Agent(CONFIG, keys=None)  # type: ignore[arg-type]


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(5):
            await work

    asyncio.run(limited())


def test_operations_on_one_id_never_overlap_however_they_are_mixed(agent: Callable[[], Agent]) -> None:
    async def work() -> None:
        one = agent()
        calls: list[Coroutine[Any, Any, Any]] = []
        for _ in range(20):
            calls += [one.add(connection()), one.remove("s/c0"), one.add(connection(rekey_s=1.0)), one.remove("s/c0")]
        done = await asyncio.gather(*calls, return_exceptions=True)
        wrong = [d for d in done if isinstance(d, BaseException) and not isinstance(d, NotFound | Conflict)]
        assert wrong == []
        await one.close()
        assert one._turns == {}
        assert not one._users

    run(work())


def test_a_watch_answers_when_something_changes_and_tells_only_that(agent: Callable[[], Agent]) -> None:
    async def work() -> None:
        one = agent()
        for n in range(3):
            SlowConnection.open_now = 0
            await one.add(connection(n))
        first = await one.watch(None, 0.0)
        assert sorted(first["connections"]) == ["s/c0", "s/c1", "s/c2"]
        watching = asyncio.ensure_future(one.watch(first["token"], 3.0))
        await asyncio.sleep(0.05)
        assert not watching.done()
        changed: Any = one._connections["s/c1"]
        changed.reachable = False
        changed.on_change()
        told = await watching
        assert {i: c["reachable"] for i, c in told["connections"].items()} == {"s/c1": False}
        assert (await one.watch(told["token"], 0.01))["connections"] == {}

    run(work())


def test_a_token_of_an_agent_that_has_been_restarted_gets_everything_at_once(agent: Callable[[], Agent]) -> None:
    async def work() -> None:
        before, after = agent(), agent()
        await after.add(connection())
        old = (await before.watch(None, 0.0))["token"]
        told = await after.watch(old, 3.0)
        assert list(told["connections"]) == ["s/c0"]
        assert list((await after.watch("nonsense", 3.0))["connections"]) == ["s/c0"]

    run(work())


def test_copies_to_expect_can_be_changed_at_work_and_what_makes_the_connection_cannot(
    agent: Callable[[], Agent],
) -> None:
    async def work() -> None:
        one = agent()
        await one.add(connection())
        await one.modify(connection(expects_copies=True, replay_window=8192))
        assert one._connections["s/c0"].config.expects_copies
        with pytest.raises(Conflict, match="nothing but"):
            await one.modify(connection(port=20009))

    run(work())


LACKS: dict[str, Any] = {"repairs": True, "suite": "chacha20-poly1305"}


@pytest.mark.parametrize("name", LACKS)
@pytest.mark.parametrize("data_plane", ["auto", "kernel"])
def test_fault_02_a_modification_that_the_kernel_cannot_carry_is_carried_otherwise_or_refused(
    agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch, name: str, data_plane: str
) -> None:
    monkeypatch.setattr(kernel_host, "_lacks_suite", lambda suite: f"no ESP with {suite.name}")

    async def work() -> None:
        one = agent()
        one._config = CONFIG.model_copy(update={"data_plane": data_plane})
        await one.add(connection())
        before: Any = one._connections["s/c0"]
        if data_plane == "kernel":
            with pytest.raises(Unavailable, match="the kernel cannot carry"):
                await one.modify(connection(**{name: LACKS[name]}))
            assert one._connections["s/c0"] is before
            assert before.config == connection()
        else:
            await one.modify(connection(**{name: LACKS[name]}))
            after: Any = one._connections["s/c0"]
            assert (after.in_kernel, after.config) == (False, connection(**{name: LACKS[name]}))
            await one.modify(connection(**{name: LACKS[name], "rekey_s": 2.0}))
            assert one._connections["s/c0"] is after  # there it can be told anything
        await one.close()

    run(work())


def test_the_period_of_probes_is_refused_where_it_makes_no_sense() -> None:
    assert connection(probe_s=0).probe_s == 0
    for wrong in (0.01, -1, 61, float("nan")):
        with pytest.raises(ValueError, match="probe_s"):
            connection(probe_s=wrong)
    assert AgentConfig.model_validate(CONFIG.model_dump() | {"probe_s": 2}).probe_s == 2
    assert Path("/nowhere") == CONFIG.control_socket


def test_many_connections_are_probed_less_often_each_and_those_told_otherwise_as_told(
    agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add_many() -> None:
        monkeypatch.setattr(SlowConnection, "open_now", -1000)  # several may be open here
        one = agent()
        monkeypatch.setattr(SlowConnection, "open", SlowConnection.close)
        for n in range(120):
            await one.add(connection(n, **({"probe_s": 0.1} if n == 7 else {})))
        periods = [c.probe_s for c in one._connections.values()]  # type: ignore[union-attr]
        assert periods[7] == 0.1
        assert sum(1 / p for i, p in enumerate(periods) if i != 7) == pytest.approx(200, rel=0.01)
        for n in range(20, 120):
            await one.remove(f"s/c{n}")
        assert {c.probe_s for i, c in one._connections.items() if i != "s/c7"} == {0.5}  # type: ignore[union-attr]

    run(add_many())


def test_ipv6_addresses_belong_to_one_connection_and_having_none_is_no_conflict(agent: Callable[[], Agent]) -> None:
    def with_ipv6(n: int, local: int, peer: int) -> ConnectionConfig:
        return connection(n, local_address6=f"fd00::{local:x}", peer_address6=f"fd00::{peer:x}")

    async def work() -> None:
        one = agent()
        for config in (connection(0), connection(1), with_ipv6(2, 4, 5)):
            SlowConnection.open_now = 0
            await one.add(config)
        for taken, field in ((with_ipv6(3, 4, 7), "local_address6"), (with_ipv6(3, 6, 5), "peer_address6")):
            with pytest.raises(Conflict) as caught:
                await one.add(taken)
            assert caught.value.field == f"connection.{field}"
        for other in (connection(2), with_ipv6(2, 4, 7)):
            with pytest.raises(Conflict):
                await one.modify(other)
        SlowConnection.open_now = 0
        await one.add(with_ipv6(3, 6, 7))

    run(work())


@pytest.mark.parametrize("has_ipv6", [True, False])
def test_a_kernel_without_ipv6_carries_ipv4(
    has_ipv6: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(addressing, "has_ipv6", lambda: has_ipv6)
    both = connection(local_address6="fd00::4", peer_address6="fd00::5")
    assert [pair.family.version for pair in esp_connection._pairs_here(both)] == ([4, 6] if has_ipv6 else [4])
    assert ("no IPv6" in caplog.text) is not has_ipv6
    caplog.clear()
    assert [pair.family.version for pair in esp_connection._pairs_here(connection())] == [4]
    assert not caplog.text
