"""Requests made to be hard are answered, or the answer is that the bound was reached; the lock is free meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from controller.model.errors import BoundReached, ControllerError, DriverError, DuplicateSlice
from controller.model.request import ComputeRequest, ConnectionSpec, Protection, Role, SliceRequest, ThreeRoles
from controller.model.search_effort import Effort
from controller.model.states import ConnectionState
from controller.northbound.refusals import problem_of
from controller.operations import bounded_search
from controller.operations.context import InfeasibleRequest
from controller.pce.computation import plan_slice
from controller.pce.network import Network
from controller.state.network_state import NetworkState
from tests.support.controller_bench import Bench, request_for
from tests.support.small_networks import channel, topology
from tests.support.wait import wait_until
from topologies.catalog import ukqntel
from topologies.spec import SecurityClass, Topology

# Of these a search in the field takes a few hundred; a second's worth are some hundreds of thousands.
MANY_UNITS = 300_000


def dense(rng: random.Random, sites: int) -> Topology:
    """Many sites, each joined to some near it, in groups that fail together."""
    names = [f"s{i:02d}" for i in range(sites)]
    channels = []
    for i, (a, b) in enumerate(combinations(names, 2)):
        near = abs(int(a[1:]) - int(b[1:])) % sites in (1, 2, 3, sites - 1)
        if near or rng.random() < 0.04:
            group = f"g{rng.randrange(sites)}"
            channels.append(
                channel(f"c{i}", a, b, mbps=rng.choice((10, 20, 100)), km=rng.randint(1, 200), groups=(group,))
            )
    return topology(channels, compute=dict.fromkeys(names, 100))


def hard_request(rng: random.Random, there: Topology, number: int) -> SliceRequest:
    """Includes, exclusions, hop limits, disjointness, latency and bandwidth near what there is; several at once."""
    names = list(there.site_names)
    rng.shuffle(names)
    cells, core, rest = tuple(names[:2]), names[2], names[3:]
    asked = request_for("cdn")

    def hard(spec: ConnectionSpec) -> ConnectionSpec:
        includes = rng.choice((0, 3, 8, 12))
        return replace(
            spec,
            bandwidth_kbps=rng.choice((1, 5_000, 11_000)),
            latency_us=rng.choice((3_000, 20_000, 10_000_000)),
            include_sites=tuple(rng.sample(rest, includes)),
            include_channels=tuple(c.id for c in rng.sample(there.channels, rng.choice((0, 0, 4)))),
            exclude_channels=frozenset(c.id for c in rng.sample(there.channels, rng.choice((0, 5)))),
            max_hops=rng.choice((None, includes + 2, 2 * includes + 4)),
            protection=rng.choice((Protection.RESTORATION, Protection.ONE_PLUS_ONE, Protection.ONE_TO_ONE)),
            fallback=(),
        )

    plain = asked.specs["control"]
    none = replace(plain, security=replace(plain.security, sources=(SecurityClass.NONE,)))
    compute = ComputeRequest(rng.choice((None, rest[0])), 1, 1)
    return replace(asked, name=f"hard{number}", shape=ThreeRoles(cells, compute, core, {r: hard(none) for r in Role}))


class Counted(Effort):
    """How much has been spent, and the most that was spent between two looks at the clock."""

    def __init__(self, units: int) -> None:
        super().__init__(units)
        self.spent = 0

    def spend(self, units: int = 1) -> None:
        self.spent += units
        super().spend(units)


def spent(there: Topology, request: SliceRequest, units: int) -> tuple[int, bool]:
    network, effort = Network(there), Counted(units)
    with network.bounded(effort):
        try:
            plan_slice(network, request)
        except BoundReached:
            return effort.spent, True
    return effort.spent, False


def test_fault_31_the_requests_are_as_hard_as_they_are_meant_to_be() -> None:
    """Without a bound some cost more than a second's worth: the attack that the bound is for."""
    rng = random.Random(31)
    there = dense(rng, 30)
    assert any(spent(there, hard_request(rng, there, i), MANY_UNITS)[1] for i in range(8))


@pytest.mark.parametrize("seed", range(4))
def test_fault_31_every_request_is_answered_or_told_of_the_bound_and_leaves_nothing(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_search, "MOST_UNITS", 30_000)
    rng = random.Random(seed)
    there = dense(rng, 30)
    bench = Bench(there, tmp_path / "db")
    outcomes = set()
    for number in range(6):
        before = bench.state()
        request = hard_request(rng, there, number)
        ask: Callable[[SliceRequest], object] = rng.choice((
            bench.slices.preview, bench.slices.create, bench.slices.reserve, bench.slices.check_feasibility,
        ))  # fmt: skip
        try:
            ask(request)
            outcomes.add("answered")
            if request.name in bench.model.slices and bench.model.slice(request.name).reservation is None:
                bench.slices.delete(request.name)
        except BoundReached as error:
            problem = problem_of(error)
            outcomes.add("bound")
            assert (problem.status, problem.code) == (422, "bound_reached")
            assert bench.state() == before
        except InfeasibleRequest:
            outcomes.add("answered")
            assert bench.state() == before
        assert bench.model.network.effort._left > MANY_UNITS  # what others search on is without a bound again
    assert outcomes


class Search:
    """A request whose search is held up where it lets others run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]) -> None:
        self.is_apart, self.may_go_on = threading.Event(), threading.Event()
        self.result: object = None
        monkeypatch.setattr(bounded_search, "LOCKED_S", -1.0)  # it is a long one: at the first look the time is over
        monkeypatch.setattr(bounded_search, "APART_S", 1000.0)
        monkeypatch.setattr(bounded_search, "_let_others_run", self._stop)
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()
        wait_until(lambda: self.is_apart.is_set() or not self._thread.is_alive(), 20)
        assert self.is_apart.is_set(), self.result

    def _stop(self) -> None:
        self.is_apart.set()
        assert self.may_go_on.wait(60)

    def _run(self, ask: Callable[[], object]) -> None:
        try:
            self.result = ask()
        except ControllerError as error:
            self.result = error

    def end(self) -> object:
        self.may_go_on.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self.result


def long_request() -> SliceRequest:
    """One for which there is so much to explain that it is not over at once."""
    return request_for("enterprise-app", {"backhaul": {"bandwidth_mbps": 90_000}, "access": {"latency_ms": 0.01}})


def is_cuttable(channel_id: str) -> bool:
    """Whether there are others beside it."""
    return channel_id.startswith("agg1-metro1")


@pytest.mark.parametrize("ask", ["preview", "create", "reserve", "check_feasibility"])
def test_fault_31_healing_and_the_api_go_on_while_a_request_is_being_searched(
    ask: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    bench.slices.create(request_for("cdn"))
    moved = next(c for c in bench.model.connections.values() if c.route and any(map(is_cuttable, c.route.channels)))
    assert moved.route is not None
    search = Search(monkeypatch, lambda: getattr(bench.slices, ask)(long_request()))
    assert bench.context.lock.acquire(timeout=20)
    bench.context.lock.release()
    cut = next(filter(is_cuttable, moved.route.channels))
    bench.cut(cut)
    again = bench.model.connections[moved.id]
    assert again.state is ConnectionState.ACTIVE
    assert again.route is not None
    assert cut not in again.route.channels
    assert search.result is None  # it is still searching
    assert search.end() is not None


def test_fault_31_whether_it_would_fit_with_every_switch_there_is_searched_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    bench.switches.is_ready = lambda site: site != "agg1"  # type: ignore[method-assign]
    efforts: list[Effort] = []
    needed = NetworkState.needed_switches_away

    def note_effort(model: NetworkState, request: SliceRequest) -> tuple[str, ...]:
        efforts.append(model.network.effort)
        return needed(model, request)

    monkeypatch.setattr(NetworkState, "needed_switches_away", note_effort)
    monkeypatch.setattr(bounded_search, "LOCKED_S", -1.0)
    monkeypatch.setattr(bounded_search, "APART_S", 1000.0)
    monkeypatch.setattr("controller.model.search_effort.PAUSE_EVERY", 1)
    with pytest.raises(DriverError, match="agg1: not connected"):
        bench.slices.preview(request_for("cdn"))
    assert efforts
    assert bench.model.network.effort not in efforts


def test_fault_31_a_plan_for_a_network_that_has_changed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    monkeypatch.setattr("controller.model.search_effort.PAUSE_EVERY", 1)
    search = Search(monkeypatch, lambda: bench.slices.create(request_for("cdn")))
    bench.model.observe_channels({"agg1-metro1-ch3": False, "agg1-metro1-ch4": False}, silent=())
    search.end()
    used = {c for one in bench.model.connections_of("cdn") for lane in one.lanes for c in lane.route.channels}
    assert used
    assert used.isdisjoint({"agg1-metro1-ch3", "agg1-metro1-ch4"})


def test_fault_31_of_two_that_ask_for_one_name_at_once_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    monkeypatch.setattr("controller.model.search_effort.PAUSE_EVERY", 1)
    with monkeypatch.context() as held:
        search = Search(held, lambda: bench.slices.create(request_for("cdn")))
        held.undo()
        bench.slices.create(request_for("cdn"))
        assert isinstance(search.end(), DuplicateSlice)
