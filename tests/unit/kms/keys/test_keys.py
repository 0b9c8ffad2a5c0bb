"""Key identity, sources and the life cycle."""

from __future__ import annotations

import uuid

import pytest

from kms.keys.key import TRANSITIONS, Delivery, Key, KeyEvent, KeySource, KeyState, Source, next_state
from scripts.testbed.paths import REPOSITORY

SECRET = bytes(range(200, 232))


def fresh_key() -> Key:
    return Key(uuid.uuid4(), KeySource.parse("qkd"), 256, 0.0, {"a": SECRET, "b": SECRET})


def delivery(*slaves: str) -> Delivery:
    return Delivery(uuid.uuid4(), "master", "a", frozenset(slaves), 1.0)


@pytest.mark.parametrize("text", ["qkd", "qra", "dh", "qkd+qra", "qra+dh", "qkd+qra+dh"])
def test_a_source_reads_back_as_it_is_written(text: str) -> None:
    assert KeySource.parse(text).label == text


def test_the_order_of_a_hybrids_parts_does_not_matter() -> None:
    assert KeySource.parse("dh+qkd") == KeySource.parse("qkd+dh")
    assert KeySource.parse("dh+qkd").parts == (Source.QKD, Source.DH)


@pytest.mark.parametrize("text", ["", "none", "QKD", "qkd+", "qkd+qkd", "qkd,qra", "rsa"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        KeySource.parse(text)


def test_a_key_leads_one_life() -> None:
    key = fresh_key().delivered(delivery("s1", "s2"), frozenset({"b"}))
    assert key.state is KeyState.AWAITING_SLAVE
    assert set(key.copies) == {"b"}
    key = key.fetched("s1")
    assert key.state is KeyState.AWAITING_SLAVE
    key = key.fetched("s2")
    assert key.state is KeyState.CONSUMED
    assert not key.copies
    with pytest.raises(ValueError, match="does not wait"):
        key.fetched("s2")


def test_nothing_leads_out_of_an_end() -> None:
    ends = {KeyState.CONSUMED, KeyState.EXPIRED}
    assert all(state not in ends for state, _ in TRANSITIONS)
    for state in ends:
        for event in KeyEvent:
            with pytest.raises(ValueError, match="cannot be"):
                next_state(state, event)


def test_a_copy_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="another size"):
        Key(uuid.uuid4(), KeySource.parse("dh"), 256, 0.0, {"a": b"short"})


def test_a_key_does_not_show_its_bytes() -> None:
    key = fresh_key().delivered(delivery("s"), frozenset({"b"}))
    for text in (repr(key), str(key), f"{key}"):
        assert repr(SECRET)[2:10] not in text
        assert SECRET.hex()[:8] not in text


def test_the_documentation_shows_the_transition_table() -> None:
    rows = {f"| {state.value} | {event.value} | {after.value} |" for (state, event), after in TRANSITIONS.items()}
    text = (REPOSITORY / "docs/explanation/kms.md").read_text()
    section = text.partition("### The life of a key")[2].partition("\n\n")[0]
    assert {line for line in section.splitlines() if line.startswith("| a")} == rows
