"""One-time authentication keys: used for one message each, whatever becomes of the block; a stock that can end."""

from __future__ import annotations

import os

import numpy as np
import pytest

from kms.errors import ExchangeError, ShortOfKeyError
from kms.sources.qkd import protocol
from kms.sources.qkd.forecast import AUTHENTICATION_BYTES, KEYS_PER_BLOCK
from kms.sources.qkd.link.attacks import NO_ATTACK
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import StopReason
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.post_processing.authentication import ONE_TIME_KEY_BYTES, OneTimeKeys
from kms.sources.qkd.section import RESERVED_BLOCKS, Distiller, KeyBuffer, Section, SectionState
from tests.support.one_time_keys import OneTimeKeyUsedTwice, Recorder, recorded

CHANNEL = ChannelParameters(length_km=30.0)
BLOCK = 1 << 18


class Line:
    """The classical channel with somebody on it, who alters what Alice says while ``is_tapped``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_tapped = False
        check = authentication.check

        def altered(one_time_key: bytes, message: bytes, received_tag: bytes, what: str) -> None:
            if self.is_tapped and what == "Alice to Bob":
                message = bytes([message[0] ^ 1]) + message[1:]
            check(one_time_key, message, received_tag, what)

        monkeypatch.setattr(authentication, "check", altered)


def distiller() -> Distiller:
    made = Distiller(CHANNEL, os.urandom, np.random.default_rng(8), first_block=BLOCK)
    keep_small(made)
    return made


def keep_small(made: Distiller) -> None:
    made._block_detections = BLOCK


def next_block(made: Distiller) -> protocol.DistilledBlock:
    while True:
        blocks = made.work(1, NO_ATTACK, keep=True).blocks
        if blocks:
            keep_small(made)
            return blocks[0]


def test_fault_15_a_key_is_gone_once_a_tag_was_made_with_it(
    monkeypatch: pytest.MonkeyPatch, one_time_keys: Recorder
) -> None:
    """Blocks whose check fails are followed by others: the recorder sees to it that no key tags two messages."""
    made, line = distiller(), Line(monkeypatch)
    line.is_tapped = True
    for _ in range(2):
        block = next_block(made)
        assert block.secret_bits == 0
        assert "tag" in block.reason
    tagged_under_attack = len(one_time_keys.tagged)
    line.is_tapped = False
    block = next_block(made)
    assert block.secret_bits > 0
    assert block.alice == block.bob
    assert len(one_time_keys.tagged) > tagged_under_attack


def test_fault_15_the_recorder_sees_the_attack_on_a_key_that_stays() -> None:
    """Without the defence: a stock whose key stays where it is gives two tags under one key."""

    class Lasting(OneTimeKeys):
        def take(self) -> bytes:
            return bytes(self._keys[-ONE_TIME_KEY_BYTES:])

    stock = Lasting(os.urandom(AUTHENTICATION_BYTES))
    with recorded():
        authentication.tag(stock.take(), b"first message")
        with pytest.raises(OneTimeKeyUsedTwice):
            authentication.tag(stock.take(), b"second message")
    defended = OneTimeKeys(os.urandom(AUTHENTICATION_BYTES))
    with recorded():
        authentication.tag(defended.take(), b"first message")
        authentication.tag(defended.take(), b"second message")


def test_fault_15_the_section_stops_when_no_authentication_key_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made, line = distiller(), Line(monkeypatch)
    section = Section("s", "x", "y", CHANNEL, KeyBuffer(1 << 15))
    section.absorb(made.work(1, NO_ATTACK, keep=True))
    assert section.is_usable
    line.is_tapped = True
    # A block that fails takes Alice's key and Bob's; the second direction's are not reached.
    for stock in made._authentication_keys:
        while len(stock) >= KEYS_PER_BLOCK + 1:
            stock.take()
    section.absorb(made.work(1, NO_ATTACK, keep=True))
    assert section.is_usable
    assert next_block(made).secret_bits == 0
    line.is_tapped = False
    for _ in range(3):
        work = made.work(1, NO_ATTACK, keep=True)
        assert not work.blocks
        section.absorb(work)
        assert section.state is SectionState.STOPPED
        assert section.stop_reason is StopReason.NO_AUTHENTICATION_KEY


def test_fault_15_a_good_block_fills_the_stock_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, line = distiller(), Line(monkeypatch)
    full = KEYS_PER_BLOCK * RESERVED_BLOCKS
    assert [len(stock) for stock in made._authentication_keys] == [full, full]
    line.is_tapped = True
    next_block(made)
    assert [len(stock) for stock in made._authentication_keys] == [full - 1, full - 1]
    line.is_tapped = False
    assert next_block(made).secret_bits > 0
    assert [len(stock) for stock in made._authentication_keys] == [full, full]
    assert made._authentication_keys[0].take() == made._authentication_keys[1].take()


class TestStock:
    def test_every_key_once_and_then_none(self) -> None:
        stock = OneTimeKeys(os.urandom(3 * ONE_TIME_KEY_BYTES))
        assert len({stock.take() for _ in range(3)}) == 3
        with pytest.raises(ShortOfKeyError):
            stock.take()

    def test_parts_of_keys_are_refused(self) -> None:
        with pytest.raises(ValueError):
            OneTimeKeys(bytes(ONE_TIME_KEY_BYTES + 1))

    def test_a_stock_does_not_show_its_keys(self) -> None:
        key = os.urandom(ONE_TIME_KEY_BYTES)
        assert repr(OneTimeKeys(key)) == "OneTimeKeys(1 left)"

    def test_a_key_whose_check_failed_is_gone_too(self) -> None:
        key = os.urandom(ONE_TIME_KEY_BYTES)
        stock = OneTimeKeys(key)
        with pytest.raises(ExchangeError):
            authentication.check(stock.take(), b"message", bytes(authentication.TAG_BYTES), "test")
        assert len(stock) == 0
