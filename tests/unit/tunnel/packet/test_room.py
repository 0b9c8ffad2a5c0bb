"""Room for packets takes memory as it is used."""

from __future__ import annotations

from pathlib import Path

from kms.tunnel.packet.frame_buffer import Frames
from kms.tunnel.packet.room import make_room

MANY, OCTETS = 64, 1 << 20


def held_kb() -> int:
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty:"))


def test_room_that_is_not_used_takes_no_memory() -> None:
    before = held_kb()
    rooms = [Frames(OCTETS, in_place=False) for _ in range(MANY)]
    assert held_kb() - before < MANY * OCTETS // 1024 // 20
    for each in rooms:
        each.octets[:] = 1
    assert held_kb() - before > MANY * OCTETS // 1024 * 0.9


def test_room_is_empty_and_of_this_process_alone() -> None:
    room = make_room(4096)
    assert bytes(room[:]) == bytes(4096)
    room[:2] = b"ab"
    assert bytes(memoryview(room)[:3]) == b"ab\0"
