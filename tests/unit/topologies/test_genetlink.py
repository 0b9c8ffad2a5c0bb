"""The question to the kernel, byte by byte, and answers of every kind."""

from __future__ import annotations

import contextlib
import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.genetlink import GenetlinkError, decode_family_reply, encode_family_request, family_id


def answer(*attributes: tuple[int, bytes]) -> bytes:
    body = b"\x01\x02\x00\x00"
    for kind, value in attributes:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 4711) + body


def error(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, 2, 0, 1, 4711, code) + bytes(16)


def test_question_is_as_libnl_asks_it() -> None:
    assert encode_family_request("ovs_datapath", sequence=1) == bytes.fromhex(
        "28000000 1000 0100 01000000 00000000"  # nlmsghdr: 40 bytes, GENL_ID_CTRL, NLM_F_REQUEST
        "03 01 0000"  # CTRL_CMD_GETFAMILY
        "1100 0200" + b"ovs_datapath\0".hex() + "000000"
    )


@pytest.mark.parametrize("name", ["", "a" * 16])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="family name"):
        encode_family_request(name, sequence=1)


def test_number_is_found_behind_other_attributes() -> None:
    assert decode_family_reply(answer((2, b"ovs_datapath\0"), (1, struct.pack("=H", 29)))) == 29


def test_unknown_family_is_none() -> None:
    assert decode_family_reply(error(-errno.ENOENT)) is None


@pytest.mark.parametrize(
    "reply", [error(-errno.EPERM), error(0), answer((2, b"x\0")), answer((9, b"")), b"", b"\x10" * 17]
)
def test_every_other_answer_is_an_error(reply: bytes) -> None:
    with pytest.raises(GenetlinkError):
        decode_family_reply(reply)


@given(st.binary(max_size=64))
def test_no_answer_raises_anything_else(reply: bytes) -> None:
    with contextlib.suppress(GenetlinkError):
        decode_family_reply(reply)


def test_this_kernel_has_the_controller_of_families_and_not_a_made_up_one() -> None:
    assert family_id("nlctrl") == 16  # GENL_ID_CTRL, the one number that is fixed
    assert family_id("qslice_nosuch") is None
