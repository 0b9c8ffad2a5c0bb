"""Transcripts of two sessions: what passes, when, and what never does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kms.tunnel.protocol import messages
from kms.tunnel.protocol.session import ENTROPY_BYTES, Session
from kms.tunnel.protocol.states import Link
from tests.support.tunnel_world import (
    INITIATOR,
    RESPONDER,
    STRANGER,
    A,
    B,
    Weather,
    World,
    both,
    inner_packet,
    kind_of,
    payloads,
    up,
)


def test_first_sa_takes_two_key_questions_and_one_round_trip_and_a_half() -> None:
    world = World()
    world.start()
    world.run(2 * 0.002 + 3 * 0.001 + 1e-6)  # enc_keys, OFFER, dec_keys, CONFIRM, READY
    assert world.a.session.link is Link.UP
    assert world.b.session.link is Link.UP


def test_packets_pass_both_ways() -> None:
    world = up(World())
    world.send_payload(world.a, b"there")
    world.send_payload(world.b, b"back")
    world.run(0.01)
    assert payloads(world.b.delivered) == [b"there"]
    assert payloads(world.a.delivered) == [b"back"]


def test_packets_before_the_first_sa_wait_and_are_never_sent_in_the_clear() -> None:
    world = World()
    world.send_payload(world.a, b"early bird")
    assert not world.a.sent
    up(world)
    assert payloads(world.b.delivered) == [b"early bird"]
    assert not any(b"early bird" in datagram for datagram in world.a.sent)


def test_the_waiting_queue_is_bounded_in_number_and_in_time() -> None:
    world = World(initiator=replace(INITIATOR, queue_packets=4))
    world.keys.is_dry = True
    world.start()
    for n in range(10):
        world.send_payload(world.a, b"old %d" % n)
    world.run(5.0)
    for n in range(6):
        world.send_payload(world.a, b"new %d" % n)
    world.keys.is_dry = False
    world.run(1.5)
    assert set(payloads(world.b.delivered)) <= {b"new 2", b"new 3", b"new 4", b"new 5"}
    counters = world.a.session.counters
    assert counters.tx_packets + counters.tx_no_sa_drops == 16


def test_an_initiator_that_came_long_before_its_peer_is_up_at_once_when_the_peer_comes() -> None:
    world = World()
    world.b.session = Session(RESPONDER, bytes(8))
    world.a.session.start(world.now)
    world.settle(world.a)
    real, world.b.session = world.b.session, Session(replace(RESPONDER, connection_id="not there yet"), bytes(8))
    world.run(20.0)  # its offers are now half a second apart
    world.b.session = real
    real.start(world.now)
    world.settle(world.b)
    world.run(0.010)
    assert real.link is Link.UP
    assert world.a.session.link is Link.UP
    assert len(world.keys.made) == 1, "waiting must not burn keys"


def test_a_lost_first_offer_is_repeated_within_20_ms() -> None:
    world = World()
    offers = []

    def lose_first(_: object, datagram: bytes) -> bytes | None:
        if isinstance(kind_of(datagram), messages.Offer):
            offers.append(datagram)
            return None if len(offers) == 1 else datagram
        return datagram

    world.intercept = lose_first
    world.start()
    world.run(0.040)
    assert world.b.session.link is Link.UP
    assert offers[0] == offers[1]


@pytest.mark.parametrize("kind", [messages.Offer, messages.Confirm, messages.Ready])
def test_each_control_message_may_be_lost_ten_times_while_traffic_flows(kind: type) -> None:
    world = up(World(**both(rekey_s=0.5)))
    lost = 0

    def lose(_: object, datagram: bytes) -> bytes | None:
        nonlocal lost
        if lost < 10 and isinstance(kind_of(datagram), kind):
            lost += 1
            return None
        return datagram

    world.intercept = lose
    for n in range(8000):
        world.send_payload(world.a, b"a%d" % n)
        world.send_payload(world.b, b"b%d" % n)
        world.run(0.001)
    world.run(0.1)
    # Traffic proves the new SA as well as READY does, so READY is not repeated and may be lost less often.
    assert lost >= 3
    assert payloads(world.b.delivered) == [b"a%d" % n for n in range(8000)]
    assert payloads(world.a.delivered) == [b"b%d" % n for n in range(8000)]


def test_an_idle_initiator_whose_readies_are_lost_for_long_loses_nothing_of_the_responders() -> None:
    """Longer than an SA drains: each repeated CONFIRM tells that the SA before is still in use."""
    world = up(World(**both(rekey_s=4.0)))
    lost = 0

    def lose(_: object, datagram: bytes) -> bytes | None:
        nonlocal lost
        if world.now < 1007.0 and isinstance(kind_of(datagram), messages.Ready):
            lost += 1
            return None
        return datagram

    world.intercept = lose
    for n in range(7500):
        world.send_payload(world.b, b"b%d" % n)
        world.run(0.001)
    world.run(0.1)
    assert lost >= 3
    assert payloads(world.a.delivered) == [b"b%d" % n for n in range(7500)]
    assert world.b.session.counters.rekeys == 1


def test_a_packet_on_the_new_sa_says_as_much_as_ready() -> None:
    world = World()
    world.intercept = lambda _, datagram: None if isinstance(kind_of(datagram), messages.Ready) else datagram
    world.start()
    world.run(0.1)
    assert world.a.links == [Link.UP]
    assert not world.b.links
    world.send_payload(world.a, b"proof")
    world.run(0.01)
    assert world.b.links == [Link.UP]
    world.send_payload(world.b, b"back")
    world.run(0.01)
    assert payloads(world.a.delivered) == [b"back"]


@pytest.mark.parametrize("rekey_s", [0.05, 0.5, 3.0])
def test_rekeying_loses_and_reorders_nothing(rekey_s: float) -> None:
    world = up(World(**both(rekey_s=rekey_s)))
    packets = 10_000
    for n in range(packets):
        world.send_payload(world.a, b"%d" % n)
        world.send_payload(world.b, b"%d" % n)
        world.run(0.001)
    world.run(0.1)
    assert payloads(world.b.delivered) == payloads(world.a.delivered) == [b"%d" % n for n in range(packets)]
    rekeys = world.a.session.counters.rekeys
    assert abs(rekeys - world.b.session.counters.rekeys) <= 1
    assert rekeys >= 0.8 * packets * 0.001 / (rekey_s + 0.01) - 1
    assert world.a.session.status(world.now).live_sas <= 32


def test_a_dry_pool_keeps_the_old_key_until_its_lifetime_then_stops_and_resumes_by_itself() -> None:
    world = up(World(**both(rekey_s=1.0, lifetime_s=5.0)))
    world.keys.is_dry = True
    world.run(4.5)
    world.send_payload(world.a, b"on the old key")
    world.run(0.01)
    assert payloads(world.b.delivered) == [b"on the old key"]
    world.run(1.0)
    assert (world.a.session.link, world.b.session.link) == (Link.EXPIRED, Link.EXPIRED)
    assert world.a.session.status(world.now).last_error == "no key"
    sent = len(world.a.sent)
    world.send_payload(world.a, b"not without a key")
    world.send_payload(world.b, b"nor back")
    world.run(1.0)
    assert len(world.a.sent) == sent
    assert world.a.session.counters.tx_no_sa_drops == 1
    world.keys.is_dry = False
    world.run(1.1)
    assert (world.a.session.link, world.b.session.link) == (Link.UP, Link.UP)
    world.send_payload(world.a, b"again")
    world.run(0.01)
    assert payloads(world.b.delivered) == [b"on the old key", b"again"]


def test_no_packet_passes_after_the_lifetime_even_when_the_timer_is_late() -> None:
    world = up(
        World(initiator=replace(INITIATOR, lifetime_s=5.0, rekey_s=5.0), responder=replace(RESPONDER, lifetime_s=5.0))
    )
    world.send_payload(world.a, b"in time")
    in_flight = world.a.sent[-1]
    late = world.now + 6.0
    assert world.a.session.outbound.send_packet(inner_packet(A, B, b"late"), late) is None
    assert world.b.session.inbound.receive_datagram(in_flight, late) is None
    assert world.b.session.counters.rx_expired_drops == 1


def test_the_key_service_is_down_for_the_responder_only() -> None:
    world = World()
    world.start()
    world.keys.is_down = False
    world.run(0.0025)  # the initiator has its key
    world.keys.is_down = True
    world.run(2.0)
    assert not world.b.links
    world.keys.is_down = False
    world.run(1.6)
    assert world.b.links == [Link.UP]
    assert len(world.keys.made) == 1


@pytest.mark.parametrize("which", ["_answer_enc", "_answer_dec"])
def test_a_question_to_the_kme_that_is_never_answered_does_not_stop_the_exchange_for_ever(which: str) -> None:
    world = World()
    answer, swallowed = getattr(world, which), []

    def swallow_first(*arguments: object) -> None:
        swallowed.append(arguments)
        if len(swallowed) > 1:
            answer(*arguments)

    setattr(world, which, swallow_first)
    world.start()
    world.run(9.0)
    assert not world.b.links
    world.run(3.0)
    assert world.b.links == [Link.UP]


def test_a_restarted_responder_is_served_at_once_with_a_fresh_key() -> None:
    world = up(World())
    made = len(world.keys.made)
    world.restart(world.b)
    world.run(0.02)
    assert world.b.session.link is Link.UP
    assert len(world.keys.made) == made + 1
    world.send_payload(world.a, b"hello again")
    world.run(0.01)
    assert payloads(world.b.delivered) == [b"hello again"]


def test_a_restarted_initiator_takes_a_fresh_key_and_the_responder_follows() -> None:
    world = up(World())
    world.restart(world.a)
    world.run(0.02)
    assert world.a.session.link is Link.UP
    world.send_payload(world.b, b"to the new one")
    world.run(0.01)
    assert payloads(world.a.delivered) == [b"to the new one"]
    assert len(set(world.keys.made)) == 2


def test_a_responder_that_restarts_between_dec_keys_and_confirm_costs_one_more_key() -> None:
    world = World()
    world.intercept = lambda end, datagram: None if end is world.b else datagram
    world.start()
    world.run(0.05)  # the key has been fetched, no CONFIRM got through
    world.intercept = lambda _, datagram: datagram
    world.restart(world.b)
    world.run(0.5)
    assert world.b.session.link is Link.UP
    assert len(world.keys.made) == 2


def test_a_key_id_given_twice_is_refused() -> None:
    world = World()
    world.keys.enc = lambda: ("same", bytes(32))  # type: ignore[method-assign]
    world.keys.undelivered["same"] = bytes(32)
    world.start()
    world.run(30.0)
    assert world.a.session.counters.key_refusals >= 5
    assert world.a.session.counters.rekeys == 0


@pytest.mark.parametrize("field", ["key_source", "connection_id", "local_sae", "local_address"])
def test_ends_that_disagree_never_come_up(field: str) -> None:
    other: dict[str, Any] = {
        "key_source": "dh",
        "connection_id": "another",
        "local_sae": "sae-x",
        "local_address": STRANGER,
    }
    world = World(responder=replace(RESPONDER, **{field: other[field]}))
    world.start()
    world.run(10.0)
    assert world.a.session.link is Link.WAITING
    assert world.b.session.link is Link.WAITING


def test_exhausted_sequence_numbers_stop_traffic_rather_than_repeat_a_nonce() -> None:
    world = up(World())
    world.keys.is_dry = True
    pair = world.a.session._book.current
    assert pair is not None
    pair.outbound._sequence = 2**32 - 2
    world.send_payload(world.a, b"the last")
    world.send_payload(world.a, b"one too many")
    world.run(0.01)
    assert world.a.session.counters.tx_exhausted_drops == 1
    assert payloads(world.b.delivered) == [b"the last"]
    world.keys.is_dry = False
    world.run(1.1)  # half the numbers being used up has asked for a new key
    world.send_payload(world.a, b"fresh")
    world.run(0.01)
    assert payloads(world.b.delivered)[-1] == b"fresh"


def test_a_closed_session_is_deaf_and_mute() -> None:
    world = up(World())
    world.send_payload(world.b, b"in flight")
    world.a.session.close()
    world.run(70.0)
    assert world.a.session.link is Link.CLOSED
    assert not world.a.delivered
    assert world.a.session.outbound.send_packet(inner_packet(A, B, b"x"), world.now) is None
    assert world.a.session.next_timer() is None
    world.a.session.keys_obtained(1, [("late", bytes(32))], world.now, bytes(ENTROPY_BYTES))
    assert not world.a.session.has_effects()


def test_no_key_shows_in_any_repr() -> None:
    world = up(World(weather=Weather()))
    shown = [repr(vars(part)) for part in (world.a.session, world.b.session)]
    shown += [repr(world.a.session._book.by_spi), repr(vars(world.b.session._exchange))]
    secrets = [*world.keys.made, *world.a.traffic_keys.values(), *world.b.traffic_keys.values()]
    for text in shown:
        for secret in secrets:
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
