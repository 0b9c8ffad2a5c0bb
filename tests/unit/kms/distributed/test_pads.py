"""Pads and escrow of the distributed form: no bit is used twice, no copy is anybody's but its owner's."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.distributed.escrow import Escrow, Psks
from kms.distributed.one_time_pads import Pads
from kms.errors import ExchangeError, ExhaustedError, KeysForgottenError, ShortOfKeyError
from kms.keys.key import DH, QKD

NOW = 1_000.0


def joined(count: int) -> tuple[Pads, Pads, bytes]:
    sender, receiver, bits = Pads(), Pads(), os.urandom(count)
    for pads in (sender, receiver):
        pads.begin("g")
    sender.store_to_send(0, bits)
    receiver.store_to_receive(0, bits)
    return sender, receiver, bits


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.randoms())
def test_messages_that_overtake_each_other_find_their_pads_once(sizes: list[int], chance: object) -> None:
    sender, receiver, bits = joined(sum(sizes))
    taken = [(size, *sender.take_to_send(size)) for size in sizes]
    assert b"".join(pad for _, _, pad in taken) == bits
    chance.shuffle(taken)  # type: ignore[attr-defined]
    for size, at, pad in taken:
        assert receiver.take_to_receive("g", at, size) == pad
        with pytest.raises(ExchangeError):
            receiver.take_to_receive("g", at, size)
    with pytest.raises(ShortOfKeyError):
        sender.take_to_send(1)


def test_pads_of_another_generation_or_beyond_the_end_are_refused() -> None:
    sender, receiver, _ = joined(100)
    at, _ = sender.take_to_send(50)
    for generation, place, count in (("h", at, 50), ("g", 60, 50), ("g", -1, 10)):
        with pytest.raises(ExchangeError):
            receiver.take_to_receive(generation, place, count)
    receiver.begin("h")
    with pytest.raises(ExchangeError):
        receiver.take_to_receive("g", at, 50)
    with pytest.raises(ExchangeError, match="gap"):
        receiver.store_to_receive(7, b"x")
    assert "50" in repr(sender)


def test_a_copy_is_its_owners_and_is_taken_once() -> None:
    escrow = Escrow("b", 100.0)
    ids = [uuid.uuid4() for _ in range(3)]
    escrow.put("a", ids, [b"k" * 32] * 3, DH, NOW)
    with pytest.raises(ExhaustedError):
        escrow.put("c", ids[:1], [b"x" * 32], DH, NOW)
    for owner, wanted in (("c", ids), ("a", [*ids, uuid.uuid4()]), ("a", ids[:1] * 2)):
        with pytest.raises(KeysForgottenError):
            escrow.take(owner, wanted)
    assert [key.copies["b"] for key in escrow.take("a", ids[:2])] == [b"k" * 32] * 2
    with pytest.raises(KeysForgottenError):
        escrow.take("a", ids[:1])
    escrow.drop_of("a")
    with pytest.raises(KeysForgottenError):
        escrow.take("a", ids[2:])


def test_copies_and_psks_do_not_last_for_ever() -> None:
    escrow = Escrow("b", 100.0)
    (old, new) = (uuid.uuid4(), uuid.uuid4())
    escrow.put("a", [old], [b"k" * 32], DH, NOW)
    escrow.put("a", [new], [b"l" * 32], QKD, NOW + 100.0, crossings=3)
    with pytest.raises(KeysForgottenError):
        escrow.take("a", [old])
    (key,) = escrow.take("a", [new])
    assert (key.crossings, key.source) == (3, QKD)
    escrow.put_psks("batch", Psks("a", NOW, 1, (b"secret",)))
    assert "secret" not in repr(Psks("a", NOW, 1, (b"secret",)))
    with pytest.raises(KeysForgottenError):
        escrow.take_psks("c", "batch")
    assert escrow.take_psks("a", "batch").bits == (b"secret",)
    escrow.put_psks("batch", Psks("a", NOW, 1, (b"x",)))
    escrow.put_psks("later", Psks("a", NOW + 61, 1, (b"x",)))
    with pytest.raises(KeysForgottenError):
        escrow.take_psks("a", "batch")
