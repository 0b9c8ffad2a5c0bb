"""Where messages end (RFC 6242, 4): whatever pieces they come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.layers.device.framing import END, MAX_OCTETS, Framing, FramingError, chunked, marked

CHUNKS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4)


def in_pieces(octets: bytes, sizes: list[int]) -> list[bytes]:
    pieces, rest = [], octets
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return [*pieces, rest]


def read(framing: Framing, pieces: list[bytes]) -> list[bytes]:
    found = []
    for piece in pieces:
        framing.feed(piece)
        while (message := framing.message()) is not None:
            found.append(message)
    return found


@given(st.lists(CHUNKS, max_size=4), st.lists(st.integers(0, 30), max_size=20))
def test_chunks_give_the_messages_that_were_sent(messages: list[list[bytes]], sizes: list[int]) -> None:
    sent = b"".join(b"".join(b"\n#%d\n%b" % (len(chunk), chunk) for chunk in chunks) + b"\n##\n" for chunks in messages)
    framing = Framing()
    framing.use_chunks()
    assert read(framing, in_pieces(sent, sizes)) == [b"".join(chunks) for chunks in messages]


@given(st.lists(st.binary(max_size=60).filter(lambda m: END not in m + END[:-1]), max_size=4),
       st.lists(st.integers(0, 30), max_size=20))  # fmt: skip
def test_marks_give_the_messages_that_were_sent(messages: list[bytes], sizes: list[int]) -> None:
    assert read(Framing(), in_pieces(b"".join(map(marked, messages)), sizes)) == messages


def test_what_follows_the_hello_comes_in_chunks() -> None:
    framing = Framing()
    framing.feed(marked(b"<hello/>") + chunked(b"<rpc/>"))
    assert framing.message() == b"<hello/>"
    framing.use_chunks()
    assert framing.message() == b"<rpc/>"


@pytest.mark.parametrize("octets", [b"<rpc/>" * 3, b"\n#0\n", b"\n#01\nx", b"\n#x\nabcdefghijkl", b"\n#99999999999\n"])
def test_what_is_no_chunk_ends_the_session(octets: bytes) -> None:
    framing = Framing()
    framing.use_chunks()
    with pytest.raises(FramingError):
        read(framing, [octets])


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_message_without_end_is_not_kept(is_chunked: bool) -> None:
    framing = Framing()
    if is_chunked:
        framing.use_chunks()
        framing.feed(b"\n#%d\n" % MAX_OCTETS)
    with pytest.raises(FramingError):
        read(framing, [bytes(MAX_OCTETS // 2)] * 3)
