"""An end that seals packets and an end that seals frames, or none that seals, never carry anything for each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kms.tunnel.protocol.states import Link
from tests.support.tunnel_world import INITIATOR, RESPONDER, A, B, World, both, inner_packet, up

CLEAR = b"a packet that nobody has sealed"


@pytest.mark.parametrize("frames_at", ["initiator", "responder"])
def test_a_host_and_a_card_agree_on_no_key(frames_at: str) -> None:
    """What is carried is bound into the keys: both hold the same one of the KMS, and neither proves it to the other."""
    initiator, responder = (replace(s, carries_frames=s.role.value == frames_at) for s in (INITIATOR, RESPONDER))
    world = World(initiator=initiator, responder=responder)
    world.start()
    world.run(20.0)
    assert Link.UP not in (world.a.session.link, world.b.session.link)


def test_the_same_two_agree_where_both_carry_frames() -> None:
    world = up(World(**both(carries_frames=True)))
    assert world.a.session.link is world.b.session.link is Link.UP


@pytest.mark.parametrize("carries_frames", [False, True])
def test_what_comes_in_the_clear_from_an_end_that_does_not_seal_is_dropped(carries_frames: bool) -> None:
    world = up(World(**both(carries_frames=carries_frames)))
    before = len(world.b.delivered)
    for clear in (CLEAR, inner_packet(A, B, CLEAR), bytes(4) + CLEAR, bytes(12) + b"\x81\x00\x00\x01\x08\x00" + CLEAR):
        world.inject(world.b, clear)
    world.run(1.0)
    assert len(world.b.delivered) == before
