"""Two ends whose kernels seal and open, and refuse any one request, once or for good: UP means that packets pass."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane.base import DataPlaneEnvironment
from kms.tunnel.dataplane.kernel import KernelPlane
from kms.tunnel.dataplane.netlink import Request
from kms.tunnel.errors import Conflict, Unavailable
from kms.tunnel.packet.cipher_suites import SUITES
from kms.tunnel.protocol.effects import SaInstalled
from kms.tunnel.protocol.session import Session
from kms.tunnel.protocol.states import Link
from tests.support.fake_kernel import FakeKernel, FakeKernels, FakeUdp
from tests.support.tunnel_world import End as WorldEnd
from tests.support.tunnel_world import World, dual
from tests.unit.tunnel.agent.test_config import CONNECTION

UNDERLAY = {"a": IPv4Address("172.20.0.2"), "b": IPv4Address("172.20.0.3")}
SUITE = pytest.mark.parametrize("suite", SUITES)


class Loop:
    """The planes' sockets are read by the world."""

    def add_reader(self, *arguments: Any) -> None:
        pass

    remove_reader = add_reader


class Host:
    """One end's kernel and plane; the session's installer."""

    def __init__(self, world: KernelWorld, name: str, kernel: FakeKernel) -> None:
        self.kernel, self.errors = kernel, list[str]()
        self._world, self._name = world, name

    def open(self, session: Session, config: ConnectionConfig) -> None:
        self.session = session
        environment = DataPlaneEnvironment(
            cast("Any", Loop()), "data0", UNDERLAY[self._name], 1438, session.settings.pairs,
            lambda error: self.errors.append(str(error)), lambda: None, self.errors.append,
        )  # fmt: skip
        self.plane = KernelPlane(config, session, environment)
        with self._world.kernels.on(self.kernel):
            self.plane.open(cast("Any", FakeUdp()))

    def install(self, sas: Sequence[SaInstalled]) -> None:
        with self._world.kernels.on(self.kernel):
            self.plane.install(sas)

    def transmit_on(self, spi: int) -> None:
        with self._world.kernels.on(self.kernel):
            self.plane.transmit_on(spi)

    def settle(self, *, refresh: bool = False) -> None:
        with self._world.kernels.on(self.kernel):
            if refresh:
                self.plane.refresh()
            self.plane.sync_sas()

    def close(self) -> None:
        with self._world.kernels.on(self.kernel):
            self.plane.close()


class KernelWorld(World):
    """After everything that happens: an end that says UP has a kernel that passes packets, and its peer's takes them.

    The two lives of a key end within some milliseconds of each other: what lasts longer is a lie.
    ``asks_first`` False is how it was: the session did not ask the kernel, it told it.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, directory: Path, *, asks_first: bool = True, **ends: Any
    ) -> None:
        self.kernels = FakeKernels(monkeypatch)
        self.asks_first = asks_first
        self.hosts = {n: Host(self, n, FakeKernel(directory, CONNECTION["interface"])) for n in "ab"}
        self.lies = 0
        self.told: dict[str, set[str]] = {"a": set(), "b": set()}  # errors
        self._untrue_since: dict[str, float] = {}
        super().__init__(**ends)

    def _make(self, name: str) -> WorldEnd:
        installer = self.hosts[name] if self.asks_first else Unasked(self.hosts[name])
        return WorldEnd(name, Session(self.settings[name], self.random.randbytes(8), installer))

    def open(self, name: str) -> None:
        peer = UNDERLAY["b" if name == "a" else "a"]
        config = ConnectionConfig.model_validate({**CONNECTION, "peer_underlay": str(peer)})
        self.hosts[name].open((self.a if name == "a" else self.b).session, config)

    def settle(self, end: WorldEnd) -> None:
        super().settle(end)
        self.hosts[end.name].settle()
        self.check()

    def live(self, seconds: float) -> None:
        """Time passes, and each second the counters are looked at."""
        for _ in range(round(seconds)):
            self.run(1.0)
            for end in (self.a, self.b):
                self.hosts[end.name].settle(refresh=True)
                self.settle(end)

    def check(self) -> None:
        for end in (self.a, self.b):
            self.told[end.name].add(end.session.status(self.now).last_error)
            if end.session.link is not Link.UP or self.passes(end):
                self._untrue_since.pop(end.name, None)
            elif self.now - self._untrue_since.setdefault(end.name, self.now) > 0.1:
                self.lies += 1

    def passes(self, end: WorldEnd) -> bool:
        here, there = self.hosts[end.name].kernel, self.hosts[self.peer(end).name].kernel
        for pair in self.settings[end.name].pairs:
            selector = pair.peer.packed.ljust(16, b"\0") + pair.local.packed.ljust(16, b"\0")
            spi = here.sent_under(selector)
            if spi is None or not there.takes_in(selector, spi):
                return False
        return True

    @property
    def is_up(self) -> bool:
        return all(end.session.link is Link.UP and self.passes(end) for end in (self.a, self.b))


class Unasked:
    """The kernel is told, and what it says goes to the log."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def install(self, sas: Sequence[SaInstalled]) -> None:
        for sa in sas:
            try:
                self._host.install([sa])
            except Unavailable as error:
                self._host.errors.append(str(error))

    def transmit_on(self, spi: int) -> None:
        try:
            self._host.transmit_on(spi)
        except Unavailable as error:
            self._host.errors.append(str(error))


Make = Callable[..., KernelWorld]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    def make(*, suite: str = "aes-256-gcm", asks_first: bool = True, **changes: Any) -> KernelWorld:
        ends = dual(suite=SUITES[suite], rekey_s=3.0, lifetime_s=8.0, **changes)
        return KernelWorld(monkeypatch, tmp_path, asks_first=asks_first, **ends)

    return make


def life(world: KernelWorld) -> None:
    """Set up, keyed anew several times, without keys for longer than they live, with keys again."""
    world.start()
    world.live(8)
    world.keys.is_down = True
    world.live(12)
    world.keys.is_down = False
    world.live(4)


def opened(world: KernelWorld) -> KernelWorld:
    for name in "ab":
        world.open(name)
    return world


@SUITE
@pytest.mark.parametrize("changes", [{}, {"expects_copies": True}], ids=["one way", "1+1"])
def test_without_a_refusal_packets_pass_and_nothing_is_left(make: Make, suite: str, changes: dict[str, Any]) -> None:
    world = opened(make(suite=suite, **changes))
    life(world)
    assert world.is_up
    assert world.lies == 0
    assert world.a.session.counters.rekeys >= 3
    for host in world.hosts.values():
        host.session.close()
        host.close()
        assert (host.kernel.states, host.kernel.policies, host.kernel.has_interface) == ({}, {}, False)


def short_life(world: KernelWorld) -> None:
    """Set up, and keyed anew."""
    world.start()
    world.live(4)


LIVES = [pytest.param(life, "aes-256-gcm"), *(pytest.param(short_life, suite) for suite in SUITES)]


class Once:
    """Refuses one request, by its number."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.what = ""

    def __call__(self, request: Request) -> int:
        self.left -= 1
        if self.left == -1:
            self.what = request.what
            return errno.EPERM
        return 0


@pytest.mark.parametrize("name", "ab")
@pytest.mark.parametrize(("lives", "suite"), LIVES)
def test_fault_02_a_kernel_that_refuses_any_one_request_is_never_called_up_for_it(
    make: Make, name: str, lives: Callable[[KernelWorld], None], suite: str
) -> None:
    """One refusal, of every request that a life consists of in turn: no lie, and it heals by itself."""
    undisturbed = opened(make(suite=suite))
    lives(undisturbed)
    for number in range(len(undisturbed.hosts[name].kernel.asked)):
        world = make(suite=suite)
        once = world.hosts[name].kernel.refuse = Once(number)
        try:
            opened(world)
        except Unavailable:
            assert once.what
            continue  # the connection is not made, and says so
        lives(world)
        assert world.lies == 0, (number, once.what)
        world.live(2)
        assert world.is_up, (number, once.what, world.hosts[name].errors)


KINDS = (
    "add the SA",
    "let packets out",
    "let packets in",
    "let no packet out",
    "remove an SA",
    "remove the SA",
    "read",
)


@pytest.mark.parametrize("name", "ab")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begins_at_s", [0, 4])
def test_fault_02_a_kernel_that_refuses_a_kind_for_good_is_told_truthfully(
    make: Make, name: str, kind: str, begins_at_s: int
) -> None:
    world = opened(make())
    world.start() if begins_at_s else None
    world.live(begins_at_s)
    kernel = world.hosts[name].kernel
    kernel.refuse = lambda request: errno.ENOMEM if request.what.startswith(kind) else 0
    life(world)
    assert world.lies == 0
    if kind in ("add the SA", "let packets out", "let packets in"):
        end = world.a if name == "a" else world.b
        assert end.session.link is not Link.UP
        assert any(kind in error for error in world.told[name])
    kernel.refuse = lambda request: 0
    world.live(40)  # an offer that stands is given up after half a minute
    assert world.is_up


def test_fault_02_the_defence_is_what_makes_the_difference(make: Make) -> None:
    """The same refusals where the kernel is told and not asked: UP, and nothing passes."""
    for kind in ("add the SA", "let packets out"):
        world = opened(make(asks_first=False))
        world.hosts["a"].kernel.refuse = lambda request, kind=kind: (  # type: ignore[misc]
            errno.ENOMEM if request.what.startswith(kind) else 0
        )
        world.start()
        world.live(3)
        assert world.a.session.link is Link.UP
        assert not world.passes(world.a)
        assert world.lies > 0


def test_fault_02_a_refused_rekeying_leaves_the_key_in_use_at_work(make: Make) -> None:
    world = opened(make())
    world.start()
    for name in "ab":
        world.live(5)
        key_id = world.a.session.status(world.now).key_id
        world.hosts[name].kernel.refuse = lambda request: errno.ENOMEM if "add the SA" in request.what else 0
        world.live(3)
        assert world.is_up
        assert world.a.session.status(world.now).key_id == key_id
        world.hosts[name].kernel.refuse = lambda request: 0
        world.live(5)
        assert world.a.session.status(world.now).key_id != key_id


def test_fault_02_no_refusal_costs_more_keys_than_rekeying_does(make: Make) -> None:
    """The key stays until the kernel takes it: refusals cannot be made to empty a pool."""
    world = opened(make())
    world.hosts["b"].kernel.refuse = lambda request: errno.ENOMEM if "add the SA" in request.what else 0
    world.start()
    world.live(30)
    assert len(world.keys.made) <= 2


def test_fault_02_an_interface_that_the_kernel_did_not_let_go_is_replaced(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = opened(make())
    host = world.hosts["a"]
    host.kernel.refuse = lambda request: errno.EBUSY if request.what == f"remove {CONNECTION['interface']}" else 0
    host.close()
    assert host.kernel.has_interface
    host.kernel.refuse = lambda request: 0
    monkeypatch.setattr("kms.tunnel.dataplane.netlink.dump", lambda request: [])
    with pytest.raises(Conflict):
        world.open("a")  # somebody else's of that name
    ours = [(CONNECTION["interface"], 7, 0x5153_0000 | CONNECTION["port"])]
    monkeypatch.setattr("kms.tunnel.dataplane.kernel_host.xfrm.interfaces", lambda links: ours)
    world.open("a")
