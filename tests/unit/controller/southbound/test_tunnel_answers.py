"""What tunnel agents answer, however odd: it concerns that agent, or of its connections that one."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model.connection import Connection
from controller.model.connectivity import UNREADABLE, TunnelReport, Verdict
from controller.model.errors import DriverError
from controller.model.states import ConnectionState
from controller.monitoring.connectivity import AGENT_GRACE_S, Reachability
from controller.southbound import tunnel_answers, tunnel_client
from controller.southbound.tunnel_answers import Unreadable
from controller.southbound.tunnel_client import TunnelClient, TunnelError
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring

GOOD: dict[str, Any] = {
    "state": "up", "hears_peer": True, "is_heard": True, "reachable_for_s": 1.0, "rtt_ms": 1.0, "last_error": None,
    "mode": "esp", "reachable": True, "failing": None,
}  # fmt: skip
ODD: list[Any] = [
    float("nan"), float("inf"), float("-inf"), -1.0, 1e300, 10**400, "1.0", [1.0], {"a": 1}, True, "x" * 10_000,
]  # fmt: skip
FIELDS: dict[str, list[Any]] = {
    "rtt_ms": ODD, "reachable_for_s": ODD, "hears_peer": [1, "true", 0.0, [], {}], "state": [None, 1, "", [], "y" * 99],
    "is_heard": [1, "true", float("nan")], "last_error": [1, [], {}, float("nan")],
}  # fmt: skip
CASES = [
    pytest.param({**GOOD, name: value}, id=f"{name}={value!r:.12}")
    for name, values in FIELDS.items()
    for value in values
]
MISSING = [
    pytest.param({n: v for n, v in GOOD.items() if n != name}, id=f"no {name}") for name in ("state", "is_heard")
]
_NONE: tuple[Any, ...] = (None, 1, "up", [], {}, [GOOD])
OTHERS = [pytest.param(value, id=f"{value!r}") for value in _NONE]


class OddAgent:
    """Answers every line with the octets that it is given."""

    def __init__(self, path: Path) -> None:
        self.octets = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            for _ in lines:
                connection.sendall(self.octets)
                if not self.octets.endswith(b"\n"):
                    return

    def tells(self, connections: Any, token: Any = "one.1") -> None:
        self.octets = json.dumps(
            {"id": 1, "ok": True, "result": {"token": token, "connections": connections}}
        ).encode() + b"\n"  # fmt: skip

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[OddAgent]:
    agent = OddAgent(tmp_path / "agent")
    yield agent
    agent.close()


@pytest.mark.parametrize("odd", [*CASES, *MISSING, *OTHERS])
def test_fault_09_an_odd_part_concerns_its_connection_alone(odd: Any, agent: OddAgent, tmp_path: Path) -> None:
    agent.tells({"s/odd": odd, "s/good": GOOD})
    _, told = TunnelClient({"a": tmp_path / "agent"}).watch("a", None, 1.0)
    assert told["s/good"] == TunnelReport("up", True, True, 1.0, 1.0)
    if odd != {**GOOD, "last_error": "x" * 10_000}:
        assert told["s/odd"].state == UNREADABLE
    judged(told)


def connection() -> Connection:
    """Any that is encrypted: what its two ends say is put together."""
    return next(c for c in MADE.model.connections.values() if c.is_encrypted)


@pytest.fixture(scope="module", autouse=True)
def made(tmp_path_factory: pytest.TempPathFactory) -> None:
    global MADE
    MADE = Bench(metro_ring(), tmp_path_factory.mktemp("odd") / "db")
    MADE.slices.create(request_for("enterprise-app", {"control": {"latency_ms": 50}}, cells=["cell1"]))


MADE: Bench


def judged(told: Any) -> dict[str, Verdict]:
    """Whatever was told, every connection gets a verdict."""
    reachability, it = Reachability(), connection()
    findings = {}
    for name, report in told.items():
        for site in (it.request.src, it.request.dst):
            reachability.tell(site, {it.id: report}, 1000.0, is_all=True)
        reachability.judge([it], 1000.0 + AGENT_GRACE_S, 1.7e9)
        findings[name] = reachability.findings[it.id].verdict
        assert report.state != UNREADABLE or reachability.findings[it.id].is_denied
    return findings


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
REPORTS = st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD, JSON)) | JSON


@given(st.dictionaries(st.text(max_size=8), REPORTS, max_size=4), JSON)
def test_fault_09_whatever_an_agent_answers_is_read_or_refused_and_judged(connections: Any, token: Any) -> None:
    line = json.dumps({"id": 1, "ok": True, "result": {"token": token, "connections": connections}}).encode()
    try:
        judged(tunnel_answers.changes(tunnel_answers.answer(line))[1])
    except Unreadable:
        assert not isinstance(token, str) or not 0 < len(token) <= 100 or "" in connections


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_fault_09_no_line_does_more_than_be_unreadable(line: bytes) -> None:
    for parse in (tunnel_answers.changes, tunnel_answers.connections):
        with contextlib.suppress(Unreadable):
            parse(tunnel_answers.answer(line))


BROKEN = {
    "nothing": b"", "half a line": b'{"id": 1', "no JSON": b"hello\n", "deep": b"[" * 100_000 + b"\n",
    "a number": b"1\n", "no UTF-8": b'{"ok": "\xff\xfe"}\n', "digits": b'{"ok": ' + b"9" * 5000 + b"}\n",
    "no result": b'{"id": 1, "ok": true}\n', "token": b'{"ok": true, "result": {"token": NaN, "connections": {}}}\n',
    "list": b'{"ok": true, "result": {"token": "a", "connections": 5}}\n', "refusal": b'{"ok": false, "error": [1]}\n',
    "unavailable": b'{"ok": false, "error": {"type": "unavailable", "message": "no descriptors"}}\n',
}  # fmt: skip


@pytest.mark.parametrize("octets", BROKEN.values(), ids=BROKEN.keys())
def test_fault_09_an_answer_that_is_none_is_that_agents_failure_and_never_its_silence(
    octets: bytes, agent: OddAgent, tmp_path: Path
) -> None:
    """NotSupported would let its last word stand."""
    agent.octets = octets
    client = TunnelClient({"a": tmp_path / "agent"})
    with pytest.raises(TunnelError, match="agent at a"):
        client.watch("a", None, 1.0)
    with pytest.raises(TunnelError, match="agent at a"):
        client.held("a")


def test_fault_09_an_answer_that_drips_is_late(
    agent: OddAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dripping = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                while not dripping.wait(0.02):
                    connection.sendall(b" ")
            except OSError:
                return

    monkeypatch.setattr(agent, "_serve", drip)
    monkeypatch.setattr(tunnel_client, "CALL_TIMEOUT_S", 0.3)
    with pytest.raises(TunnelError, match="timed out"):
        TunnelClient({"a": tmp_path / "agent"}).held("a")
    dripping.set()


def test_fault_09_one_agents_nonsense_keeps_no_other_connection_from_being_judged(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    for name, cells in (("one", ["cell1"]), ("two", ["cell2"])):
        bench.slices.create(request_for("enterprise-app", {"control": {"latency_ms": 50}}, name=name, cells=cells))
    ids = {name: next(i for i in bench.model.connections if i.startswith(f"{name}/")) for name in ("one", "two")}
    failing = {"state": "up", "hears_peer": False, "is_heard": None, "reachable_for_s": 0.0}
    ends = {n: (c.request.src, c.request.dst) for n, i in ids.items() for c in [bench.model.connections[i]]}
    for site in ends["two"]:
        bench.tunnels.reports[site, ids["two"]] = failing
    bench.tunnels.reports[ends["one"][0], ids["one"]] = {
        "state": UNREADABLE, "hears_peer": None, "is_heard": None, "last_error": "rtt_ms: not a number",
    }  # fmt: skip
    for site in bench.topology.site_names:
        bench.maintenance.poll_agent(site)
    bench.maintenance.confirm(lambda site: True)
    states = {name: bench.model.connections[i] for name, i in ids.items()}
    assert "probes between" in str(states["two"].reason)
    assert states["one"].state is ConnectionState.DEGRADED
    assert "rtt_ms: not a number" in str(states["one"].reason)


def test_fault_09_what_goes_wrong_with_one_connection_is_that_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    for name, cells in (("one", ["cell1"]), ("two", ["cell2"])):
        bench.slices.create(request_for("enterprise-app", {"control": {"latency_ms": 50}}, name=name, cells=cells))
    failing = {"state": "up", "hears_peer": False, "is_heard": None, "reachable_for_s": 0.0}
    for end in bench.tunnels.told:
        bench.tunnels.reports[end] = failing
    announce = bench.context.announce_connection

    def refuse(one: Connection) -> None:
        if one.request.slice_name == "one":
            raise DriverError("the journal refuses")
        announce(one)

    monkeypatch.setattr(bench.context, "announce_connection", refuse)
    for site in bench.topology.site_names:
        bench.maintenance.poll_agent(site)
    bench.maintenance.confirm(lambda site: True)
    reasons = [str(c.reason) for c in bench.model.connections.values() if c.request.slice_name == "two"]
    assert reasons
    assert all("probes" in reason for reason in reasons)
