"""A tunnel over two ways at once (1+1): each packet arrives once, whatever happens to either way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.tunnel_world import End, World, both, payloads, up


class TwoWays(World):
    """Every datagram goes over both ways, each with a delay of its own; a dead way swallows it."""

    delays_s = (0.001, 0.004)

    def __init__(self, window: int = 1024, *, expects_copies: bool = True) -> None:
        super().__init__(**both(replay_window=window, expects_copies=expects_copies, rekey_s=0.5))
        self.dead: set[int] = set()

    def _transmit(self, end: End, datagram: bytes) -> None:
        self._check_nonce(end, datagram)
        end.sent.append(datagram)
        for way, delay in enumerate(self.delays_s):
            if way not in self.dead:
                self.at(self.now + delay, lambda: self.inject(self.peer(end), datagram))


def run_probe(world: TwoWays, packets: int, faults: dict[int, set[int]]) -> None:
    """One packet per millisecond each way; ``faults`` says which ways are dead from packet n on."""
    for n in range(packets):
        world.dead = faults.get(n, world.dead)
        world.send_payload(world.a, b"%d" % n)
        world.send_payload(world.b, b"%d" % n)
        world.run(0.001)
    world.run(0.1)


def test_each_packet_arrives_once_and_copies_are_no_attack() -> None:
    world = up(TwoWays())
    run_probe(world, 2000, {})  # several rekeyings among them
    for end in (world.a, world.b):
        assert payloads(end.delivered) == [b"%d" % n for n in range(2000)]
        counters = end.session.counters
        assert counters.rx_copies == 2000
        assert (counters.rx_replay_drops, counters.rx_auth_failures, counters.rx_saved) == (0, 0, 0)
        assert counters.rekeys >= 3


@given(st.lists(st.tuples(st.integers(0, 299), st.sampled_from([set(), {0}, {1}])), max_size=6))
def test_no_fault_of_one_way_at_a_time_loses_or_doubles_a_packet(faults: list[tuple[int, set[int]]]) -> None:
    world = up(TwoWays())
    safe: dict[int, set[int]] = {}
    for n, dead in sorted(faults, key=lambda fault: fault[0]):
        # From one way to the other only with both at work for as long as the slower one's delay.
        safe[n - n % 20] = set()
        safe[n - n % 20 + 10] = dead
    run_probe(world, 320, safe)
    for end in (world.a, world.b):
        assert sorted(payloads(end.delivered)) == sorted(b"%d" % n for n in range(320))


def test_what_one_way_alone_would_have_lost_is_counted() -> None:
    world = up(TwoWays())
    run_probe(world, 300, {100: {0}, 150: set()})
    assert world.b.session.counters.rx_saved == 50


def test_a_copy_later_than_the_window_is_not_delivered_twice() -> None:
    world = TwoWays(window=32)
    world.delays_s = (0.001, 0.060)
    run_probe(up(world), 200, {})
    assert payloads(world.b.delivered) == [b"%d" % n for n in range(200)]
    assert world.b.session.counters.rx_replay_drops > 0  # older than the window: cannot be told from a replay


def test_without_copies_to_expect_the_second_one_is_a_replay() -> None:
    world = up(TwoWays(expects_copies=False))
    run_probe(world, 50, {})
    assert (world.b.session.counters.rx_copies, world.b.session.counters.rx_replay_drops) == (0, 50)
