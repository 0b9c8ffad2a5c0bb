"""Key ids that have been seen: the last ones, and no more."""

from __future__ import annotations

from kms.tunnel.protocol.seen_ids import SeenIds


def test_the_last_ones_are_known_and_older_ones_are_forgotten() -> None:
    seen = SeenIds(4)
    assert "" not in seen
    seen.update(f"key-{n}" for n in range(6))
    assert [n for n in range(8) if f"key-{n}" in seen] == [2, 3, 4, 5]
    seen.add("key-9")
    assert "key-2" not in seen
    assert "key-9" in seen
