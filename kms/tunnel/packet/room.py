"""Memory for as much as may come at once. A page of it is taken when it is first written to: most connections carry
little, and ``bytearray`` would fill megabytes with zeros for each."""

from __future__ import annotations

import mmap

Room = mmap.mmap


def make_room(octets: int) -> Room:
    return mmap.mmap(-1, octets, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
