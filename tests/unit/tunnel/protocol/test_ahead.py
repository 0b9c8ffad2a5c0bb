"""Keys fetched ahead: few questions to the KMEs, and every key used once, forgotten in time, and never trusted more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.errors import Malformed
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.key_prefetch import MAX_KEYS_AHEAD, KeyStock, StockedKey, keys_at_once
from kms.tunnel.protocol.session import Session
from kms.tunnel.protocol.states import Link
from tests.support.tunnel_world import End, Weather, World, both, kind_of, up

CONNECTION = messages.connection_tag("slice/conn")


def stock_of(session: Session) -> KeyStock:
    return session._exchange._stock


def quick(**changes: object) -> World:
    return up(World(**both(**{"rekey_s": 0.1, "lifetime_s": 5.0, **changes})))


def test_short_pauses_cost_two_questions_for_every_ten_keys() -> None:
    world = quick()
    asked = world.keys.questions
    rekeys = world.a.session.counters.rekeys
    world.run(10.0)
    assert world.a.session.counters.rekeys - rekeys >= 95
    assert world.keys.questions - asked <= 22
    assert world.b.session.counters.rekeys >= 95


@pytest.mark.parametrize("rekey_s", [1.0, 3.0])
def test_long_pauses_fetch_nothing_ahead(rekey_s: float) -> None:
    world = quick(rekey_s=rekey_s, lifetime_s=60.0)
    world.run(10.0)
    assert len(stock_of(world.a.session)) == len(stock_of(world.b.session)) == 0
    assert not any(isinstance(kind_of(datagram), messages.Announce) for datagram in world.a.sent)


@pytest.mark.parametrize(("rekey_s", "number"), [(0.05, 10), (0.1, 10), (0.3, 4), (0.5, 2), (1.0, 1), (86400.0, 1)])
def test_how_many_at_once(rekey_s: float, number: int) -> None:
    assert keys_at_once(rekey_s) == number


def test_no_key_is_used_twice_and_none_is_left_when_all_has_ended() -> None:
    world = quick()
    world.run(10.0)
    offered = [m.key_id for m in map(kind_of, world.a.sent) if isinstance(m, messages.Offer)]
    assert len(set(world.keys.asked)) == len(world.keys.asked)
    assert len(set(offered)) >= 95
    world.keys.is_dry = world.keys.is_down = True
    world.run(15.0)
    assert len(stock_of(world.a.session)) == len(stock_of(world.b.session)) == 0
    world.keys.is_dry = world.keys.is_down = False
    world.run(3.0)
    assert len(stock_of(world.a.session)) > 0
    for end in (world.a, world.b):
        end.session.close()
        assert len(stock_of(end.session)) == 0


def test_a_lost_announcement_costs_questions_and_nothing_else() -> None:
    world = up(World(**both(rekey_s=0.1, lifetime_s=5.0)))
    world.intercept = lambda _, datagram: None if isinstance(kind_of(datagram), messages.Announce) else datagram
    rekeys = world.b.session.counters.rekeys
    world.run(5.0)
    assert world.b.session.counters.rekeys - rekeys >= 45
    assert world.b.session.counters.key_refusals == 0


@pytest.mark.parametrize("seed", range(6))
def test_bad_weather(seed: int) -> None:
    weather = Weather(loss=0.2, duplication=0.3, jitter_s=0.05)
    world = World(seed=seed, weather=weather, **both(rekey_s=0.1, lifetime_s=5.0))
    world.start()
    world.run(12.0)
    assert world.a.session.counters.rekeys >= 20
    assert Link.EXPIRED not in world.a.links + world.b.links
    assert len(set(world.keys.asked)) == len(world.keys.asked)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_restart_of_either_end_is_survived_at_once(name: str) -> None:
    world = quick()
    world.run(2.55)
    fresh = world.restart(getattr(world, name))
    world.run(0.6)
    assert (world.a.session.link, world.b.session.link) == (Link.UP, Link.UP)
    rekeys = fresh.session.counters.rekeys
    world.run(3.0)
    assert fresh.session.counters.rekeys - rekeys >= 25


def test_a_pool_with_a_few_keys_only_is_used_up_one_by_one() -> None:
    world = quick()
    enc, left = world.keys.enc, [1]
    # Never more than one key at a time: as if the pool were filled as slowly as it is emptied.
    world.keys.enc = lambda: enc() if left and left.pop() else "no key"  # type: ignore[method-assign]
    rekeys, due = world.a.session.counters.rekeys, world.now
    for n in range(50):
        world.at(due + 0.1 * n, lambda: left.__setitem__(slice(None), [1]))
    world.run(5.0)
    assert world.a.session.counters.rekeys - rekeys >= 8


def test_other_keys_wanted_drops_what_was_fetched_ahead() -> None:
    world = quick()
    world.run(2.55)
    before = {end.name: set(stock_of(end.session)._keys) for end in (world.a, world.b)}
    assert before["a"]
    assert before["b"]
    for end in (world.b, world.a):
        end.session.reconfigure(replace(world.settings[end.name], key_source="qkd"), world.now)
        assert len(stock_of(end.session)) == 0
        world.settle(end)
    sent = len(world.a.sent)
    world.run(2.0)
    offered = {m.key_id for m in map(kind_of, world.a.sent[sent:]) if isinstance(m, messages.Offer)}
    assert offered.isdisjoint(before["a"])
    assert world.a.session.is_reconfigured


def announcement(world: World, end: End, key_ids: list[str]) -> bytes:
    pair = world.a.session.current
    assert pair is not None
    spi = pair.outbound.spi if end is world.b else pair.inbound.spi
    return messages.encode_announce(CONNECTION, spi, key_ids, pair.control.initiator)


def test_only_the_holder_of_a_live_sa_can_have_keys_fetched() -> None:
    world = quick(rekey_s=3.0, lifetime_s=60.0)
    genuine = announcement(world, world.b, ["x", "y"])
    asked = len(world.keys.asked)
    for at in range(4, len(genuine)):
        world.inject(world.b, genuine[:at] + bytes((genuine[at] ^ 1,)) + genuine[at + 1 :])
    world.run(0.1)
    assert len(world.keys.asked) == asked
    for _ in range(100):
        world.inject(world.b, genuine)
        world.run(0.01)
    assert world.keys.asked[asked:] == ["x", "y"]
    world.inject(world.a, announcement(world, world.a, ["z"]))
    world.run(0.1)
    assert len(world.keys.asked) == asked + 2


def test_a_replayed_announcement_of_an_earlier_sa_is_refused() -> None:
    world = quick()
    world.run(3.0)
    heard = [datagram for datagram in world.a.sent if isinstance(kind_of(datagram), messages.Announce)]
    assert len(heard) >= 3
    asked = len(world.keys.asked)
    world.keys.is_dry = True
    for datagram in heard:
        world.inject(world.b, datagram)
    world.run(0.05)
    assert len(world.keys.asked) == asked


def test_no_more_is_fetched_than_fits_whatever_is_announced() -> None:
    world = quick(rekey_s=3.0, lifetime_s=60.0)
    for n in range(50):
        names = [f"{n}-{m}" for m in range(25)]
        world.keys.undelivered |= {name: bytes(32) for name in names}
        world.inject(world.b, announcement(world, world.b, names))
        world.run(0.005)
    assert len(stock_of(world.b.session)) == 2 * MAX_KEYS_AHEAD


def test_keys_of_which_one_is_unknown_are_fetched_one_by_one() -> None:
    world = quick(rekey_s=3.0, lifetime_s=60.0)
    enc = world.keys.enc

    def with_a_lost_twin() -> tuple[str, bytes] | str:
        made = enc()
        if len(world.keys.made) % 5 == 0 and isinstance(made, tuple):
            del world.keys.undelivered[made[0]]
        return made

    world.keys.enc = with_a_lost_twin  # type: ignore[method-assign]
    for end in (world.b, world.a):
        end.session.reconfigure(replace(world.settings[end.name], rekey_s=0.1), world.now)
        world.settle(end)
    rekeys = world.b.session.counters.rekeys
    world.run(10.0)
    assert world.b.session.counters.rekeys - rekeys >= 20
    assert world.a.session.link is Link.UP


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=129), min_size=1,
                unique=True))  # fmt: skip
def test_announcements_there_and_back(key_ids: list[str]) -> None:
    datagram = messages.encode_announce(CONNECTION, 256, key_ids, bytes(32))
    assert len(datagram) <= messages.MAX_ANNOUNCE_BYTES
    received = messages.decode(datagram, CONNECTION)
    assert isinstance(received.message, messages.Announce)
    assert list(received.message.key_ids) == key_ids[: len(received.message.key_ids)]
    assert len(received.message.key_ids) >= min(6, len(key_ids))
    assert received.is_signed_by(bytes(32))


@pytest.mark.parametrize("body", [b"", b"\0", b"\5abcd", b"\2ab\2ab", b"\2a\n", b"\2a\xff"])
def test_impossible_announcements(body: bytes) -> None:
    whole = messages._frame(messages._Type.ANNOUNCE, CONNECTION, bytes((0, 0, 1, 0)) + body, 16) + bytes(16)
    with pytest.raises(Malformed):
        messages.decode(whole, CONNECTION)


def test_the_stock_shows_no_key_and_gives_each_once() -> None:
    stock = KeyStock(2)
    keys = [StockedKey(f"id{n}", b"secret%d" % n, b"chance", float(n)) for n in range(1, 4)]
    stock.put(keys)
    assert "secret" not in repr(keys) + repr(vars(stock))
    assert "chance" not in repr(keys) + repr(vars(stock))
    assert stock.next_expiry() == 2.0
    assert stock.take(0.0, "id1") is None, "it gave way"
    assert stock.take(0.0) == keys[1]
    assert stock.take(0.0, "id2") is None
    assert stock.take(3.0) is None
    assert len(stock) == 0
