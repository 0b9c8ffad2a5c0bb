"""Other keys for a connection at work: traffic goes on under the old ones until both ends have the new ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kms.tunnel.protocol.effects import AskEncKeys
from kms.tunnel.protocol.states import Link
from tests.support.tunnel_world import Weather, World, both, payloads, up


def reconfigure(world: World, *, pause_s: float = 0.0, **changes: object) -> None:
    """Tell the responder, then the initiator, as the controller does."""
    for end in (world.b, world.a):
        world.settings[end.name] = replace(world.settings[end.name], **changes)  # type: ignore[arg-type]
        end.session.reconfigure(world.settings[end.name], world.now)
        world.settle(end)
        world.run(pause_s)


def talk(world: World, duration_s: float, every_s: float = 0.001) -> list[bytes]:
    """Numbered packets both ways for a while; what was sent."""
    sent = []
    for number in range(round(duration_s / every_s)):
        payload = b"%d" % number
        sent.append(payload)
        world.send_payload(world.a, payload)
        world.send_payload(world.b, payload)
        world.run(every_s)
    return sent


@pytest.mark.parametrize("pause_s", [0.0, 0.0005, 0.5])
def test_nothing_is_lost_while_the_keys_change(pause_s: float) -> None:
    world = up(World())
    before = world.a.session.status(world.now).key_id
    world.a.delivered.clear()
    world.b.delivered.clear()
    reconfigure(world, key_source="qkd", pause_s=pause_s)
    assert world.a.session.link is Link.UP
    sent = talk(world, 0.1)
    world.run(0.1)
    assert payloads(world.a.delivered) == payloads(world.b.delivered) == sent
    for end in (world.a, world.b):
        assert end.session.is_reconfigured
        assert end.session.status(world.now).key_id != before
        assert end.links == [Link.UP, Link.UP]


def test_the_new_source_is_asked_at_once_and_an_answer_for_the_old_one_is_not_used() -> None:
    world = up(World(**both(rekey_s=0.2)))
    world.run(0.2005 - world.now % 0.1)
    while not any(isinstance(e, AskEncKeys) for e in world.a.session._effects) and len(world.keys.made) < 2:
        world.run(0.0005)
    made = len(world.keys.made)
    world.b.session.reconfigure(replace(world.settings["b"], key_source="dh"), world.now)
    world.a.session.reconfigure(replace(world.settings["a"], key_source="dh"), world.now)
    asked = [e for e in world.a.session.take_effects() if isinstance(e, AskEncKeys)]
    assert [e.key_source for e in asked] == ["dh"]
    assert len(world.keys.made) == made


@pytest.mark.parametrize("seed", range(8))
def test_a_bad_network_delays_the_change_and_does_not_prevent_it(seed: int) -> None:
    weather = Weather(loss=0.3, duplication=0.2, jitter_s=0.02)
    world = World(seed=seed, weather=weather, **both(rekey_s=0.5))
    world.start()
    world.run(2.0)
    reconfigure(world, key_source="qkd+qra", pause_s=0.3)
    world.run(5.0)
    for end in (world.a, world.b):
        assert end.session.is_reconfigured
        assert end.links.count(Link.EXPIRED) == 0


def test_without_a_key_of_the_new_kind_the_old_one_serves_until_its_lifetime_ends() -> None:
    world = up(World(**both(lifetime_s=5.0)))
    world.keys.is_dry = True
    reconfigure(world, key_source="qkd")
    world.b.delivered.clear()
    sent = talk(world, 0.05)
    world.run(0.01)
    assert payloads(world.b.delivered) == sent
    assert not world.a.session.is_reconfigured
    world.run(6.0)
    assert world.a.session.link is Link.EXPIRED
    world.keys.is_dry = False
    world.run(3.0)
    assert world.a.session.is_reconfigured


def test_going_back_before_a_new_key_came_needs_no_key() -> None:
    world = up(World())
    world.keys.is_dry = True
    reconfigure(world, key_source="qkd")
    assert not world.a.session.is_reconfigured
    reconfigure(world, key_source="qra")
    assert world.a.session.is_reconfigured


def test_rekeying_takes_on_another_pace() -> None:
    world = up(World(**both(rekey_s=30.0)))
    reconfigure(world, rekey_s=0.1)
    made = len(world.keys.made)
    world.run(1.0)
    assert len(world.keys.made) - made >= 8


def test_another_pace_costs_no_key_and_counts_from_the_key_in_use() -> None:
    world = up(World(**both(rekey_s=3.0)))
    made, key = len(world.keys.made), world.a.session.status(world.now).key_id
    world.run(1.0)
    reconfigure(world, rekey_s=10.0)
    world.run(8.5)
    assert (len(world.keys.made), world.a.session.status(world.now).key_id) == (made, key)
    reconfigure(world, rekey_s=3.0)
    world.run(0.1)
    assert len(world.keys.made) == made + 1


def test_nothing_but_the_keys_can_be_changed() -> None:
    world = up(World())
    for changes in ({"connection_id": "other"}, {"peer_sae": "sae-x"}, {"queue_packets": 64}):
        with pytest.raises(ValueError, match="only key_source"):
            world.a.session.reconfigure(replace(world.settings["a"], **changes), world.now)


def test_a_closed_session_stays_closed() -> None:
    world = up(World())
    world.a.session.close()
    world.a.session.reconfigure(replace(world.settings["a"], key_source="qkd"), world.now)
    assert world.a.session.link is Link.CLOSED
    assert not [e for e in world.a.session.take_effects() if isinstance(e, AskEncKeys)]


def test_a_connection_becomes_1_plus_1_and_plain_again_without_a_loss() -> None:
    world = up(World(**both(rekey_s=100.0, lifetime_s=1000.0)))
    world.run(1.0)
    reconfigure(world, expects_copies=True, replay_window=4096)
    assert world.a.session.is_reconfigured
    world.weather.duplication = 1.0
    sent = talk(world, 0.3)
    world.run(0.1)
    for end in (world.a, world.b):
        assert payloads(end.delivered) == sent
        assert (end.session.counters.rx_copies, end.session.counters.rx_replay_drops) == (len(sent), 0)
        assert end.session._book.current is not None
        assert end.session._book.current.inbound._window._size == 4096  # the next SA came at once
        end.delivered.clear()
    world.weather.duplication = 0.0
    reconfigure(world, expects_copies=False, replay_window=1024)
    sent = talk(world, 0.3)
    world.run(0.1)
    for end in (world.a, world.b):
        assert payloads(end.delivered) == sent
        world.inject(end, next(d for d in reversed(world.peer(end).sent) if d[:4] != bytes(4)))
        assert end.session.counters.rx_replay_drops == 1
