"""What an attacker tries, on the wire or from another slice, and what comes of it."""

from __future__ import annotations

import pytest

from kms.tunnel.protocol import messages
from kms.tunnel.protocol.states import Link
from tests.support.tunnel_world import STRANGER, A, B, End, World, both, inner_packet, kind_of, payloads, up


@pytest.mark.parametrize(
    "packet",
    [
        inner_packet(STRANGER, B, b"foreign source"),
        inner_packet(A, STRANGER, b"foreign destination"),
        inner_packet(B, A, b"reversed"),
        inner_packet(A, B, b"too long")[:-1],
        inner_packet(A, B, b"too short") + b"\0",
        b"\x60" + inner_packet(A, B, b"another version")[1:],
        b"\x44" + inner_packet(A, B, b"impossible header length")[1:],
        b"",
        b"\x45",
    ],
)
def test_foreign_packets_do_not_enter_the_tunnel(packet: bytes) -> None:
    world = up(World())
    sent = len(world.a.sent)
    world.send(world.a, packet)
    assert len(world.a.sent) == sent
    assert world.a.session.counters.tx_selector_drops == 1


@pytest.mark.parametrize("packet", [inner_packet(STRANGER, B, b"x"), inner_packet(A, STRANGER, b"x"), b"\x60" * 40])
def test_foreign_packets_do_not_leave_the_tunnel_even_from_the_peer_itself(packet: bytes) -> None:
    world = up(World())
    pair = world.a.session._book.current
    assert pair is not None
    world.inject(world.b, pair.outbound.seal(packet))  # a peer whose own selectors are broken
    assert not world.b.delivered
    assert world.b.session.counters.rx_selector_drops == 1


def test_a_replayed_and_an_altered_datagram_are_dropped_and_counted() -> None:
    world = up(World())
    world.send_payload(world.a, b"once")
    world.run(0.01)
    datagram = world.a.sent[-1]
    world.inject(world.b, datagram)
    world.send_payload(world.a, b"twice")
    altered = bytearray(world.a.sent[-1])
    altered[-1] ^= 1
    world.inject(world.b, bytes(altered))
    world.run(0.01)
    assert payloads(world.b.delivered) == [b"once", b"twice"]
    assert world.b.session.counters.rx_replay_drops == 1
    assert world.b.session.counters.rx_auth_failures == 1


def test_a_flood_of_forged_offers_costs_few_questions_to_the_kme_and_does_not_stop_rekeying() -> None:
    world = up(World(**both(rekey_s=1.0)))
    connection = messages.connection_tag("slice/conn")
    asked = len(world.keys.asked)
    for n in range(20_000):
        offer = messages.Offer(1000 + n, n.to_bytes(16, "big"), f"forged-{n}")
        world.inject(world.b, messages.encode_offer(connection, offer, bytes(32), bytes(32)))
        world.run(0.0005)
    forged = [key_id for key_id in world.keys.asked[asked:] if key_id.startswith("forged")]
    assert len(forged) <= 4 + 2 * 10 + 1
    assert world.b.session.counters.rekeys >= 9
    assert len(world.b.session._exchange._offers) <= 256  # type: ignore[union-attr]


def test_forged_offers_at_a_slow_kme_do_not_take_the_genuine_ones_place() -> None:
    """Each forged key id keeps a question to the KME open for long; rekeying needs one of its own."""
    world = up(World(**both(rekey_s=1.0)))
    answer = world._answer_dec

    def answer_forgeries_late(end: End, request: int, key_ids: tuple[str, ...]) -> None:
        if key_ids[0].startswith("forged"):
            world.at(world.now + 8.0, lambda: answer(end, request, key_ids))
        else:
            answer(end, request, key_ids)

    world._answer_dec = answer_forgeries_late  # type: ignore[method-assign]
    connection = messages.connection_tag("slice/conn")
    for n in range(1000):
        offer = messages.Offer(1000 + n, n.to_bytes(16, "big"), f"forged-{n}")
        world.inject(world.b, messages.encode_offer(connection, offer, bytes(32), None))
        world.run(0.01)
    assert world.b.session.counters.rekeys >= 9


def test_a_flood_of_forged_hellos_at_most_doubles_the_use_of_keys() -> None:
    world = up(World(**both(rekey_s=1.0)))
    connection = messages.connection_tag("slice/conn")
    made = len(world.keys.made)
    for n in range(10_000):
        world.inject(world.a, messages.encode_hello(connection, messages.Hello(n.to_bytes(8, "big"))))
        world.run(0.001)
    assert len(world.keys.made) - made <= 21


@pytest.mark.parametrize("altered_offers", [1, 2, 4])
def test_altered_offers_that_come_first_do_not_spoil_the_genuine_one(altered_offers: int) -> None:
    world = World()
    altered: list[bytes] = []

    def alter(_: object, datagram: bytes) -> bytes:
        if isinstance(kind_of(datagram), messages.Offer) and len(altered) < altered_offers:
            altered.append(datagram)
            return datagram[:44] + bytes(4) + datagram[48:]  # part of its nonce
        return datagram

    world.intercept = alter
    world.start()
    world.run(0.5)
    assert len(altered) == altered_offers
    assert world.b.session.counters.control_auth_failures == altered_offers
    assert world.b.session.link is Link.UP
    assert len(world.keys.made) == 1


def test_a_forged_confirm_brings_nothing_up() -> None:
    """Whoever listens on the path knows the offer's nonce, but not the key."""
    world = World()
    forged: list[bytes] = []

    def forge(end: object, datagram: bytes) -> bytes | None:
        message = kind_of(datagram)
        if isinstance(message, messages.Offer):
            confirm = messages.Confirm(message.nonce, 4711, bytes(16), bytes(8))
            forged.append(messages.encode_confirm(messages.connection_tag("slice/conn"), confirm, bytes(32)))
            world.at(world.now, lambda: world.inject(world.a, forged[-1]))
            return None
        return datagram

    world.intercept = forge
    world.start()
    world.run(1.0)
    assert forged
    assert not world.a.links
    assert world.a.session.counters.control_auth_failures == len(forged)


def test_a_forged_ready_does_not_make_the_responder_transmit() -> None:
    world = World()
    nonces: list[bytes] = []

    def suppress_ready(_: object, datagram: bytes) -> bytes | None:
        message = kind_of(datagram)
        if isinstance(message, messages.Ready):
            nonces.append(message.offer_nonce)
            return None
        return datagram

    world.intercept = suppress_ready
    world.start()
    world.run(0.1)
    assert nonces
    ready = messages.encode_ready(messages.connection_tag("slice/conn"), messages.Ready(nonces[0]), bytes(32))
    world.inject(world.b, ready)
    assert not world.b.links
    assert world.b.session.counters.control_auth_failures == 1


def test_replayed_offers_of_the_past_change_nothing() -> None:
    world = up(World(**both(rekey_s=0.5)))
    world.run(5.0)
    recorded = [datagram for datagram in world.a.sent if datagram[:4] == bytes(4)]
    status, asked = world.b.session.status(world.now), len(world.keys.asked)
    for datagram in recorded * 3:
        world.inject(world.b, datagram)
    assert world.b.session.status(world.now) == status
    assert len(world.keys.asked) == asked


def test_a_hello_that_was_long_under_way_costs_no_key() -> None:
    world = World()
    hellos: list[bytes] = []

    def keep_hellos(_: object, datagram: bytes) -> bytes | None:
        if isinstance(kind_of(datagram), messages.Hello):
            hellos.append(datagram)
            return None
        return datagram

    world.intercept = keep_hellos
    up(world)
    made = len(world.keys.made)
    for datagram in hellos * 3:
        world.inject(world.a, datagram)
    world.run(0.5)
    assert hellos
    assert len(world.keys.made) == made


def test_a_ready_that_was_overtaken_does_not_bring_the_old_sa_back() -> None:
    world = up(World(**both(rekey_s=0.2)))
    held: list[bytes] = []

    def hold_readies_of_one_exchange(_: object, datagram: bytes) -> bytes | None:
        message = kind_of(datagram)
        if isinstance(message, messages.Ready) and (not held or datagram == held[0]):
            held.append(datagram)
            return None
        return datagram

    world.intercept = hold_readies_of_one_exchange
    world.run(0.45)  # one exchange whose READY is held back, then one that completes
    assert held
    in_use = world.b.session.status(world.now).key_id
    assert in_use == world.a.session.status(world.now).key_id
    world.inject(world.b, held[0])
    assert world.b.session.status(world.now).key_id == in_use
