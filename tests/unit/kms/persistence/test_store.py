"""The store: what was written is there again, encrypted, and cannot be altered unnoticed."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from kms.errors import StoreError
from kms.keys.changes import SaveDelivery, SaveHome
from kms.keys.key import QKD, Delivery, Key
from kms.keys.ledger import LedgerEntry, LedgerEvent
from kms.persistence import sqlite_store
from kms.persistence.sqlite_store import Journal, KeyStore
from tests.support.kill_points import killed_at_each_line

SECRET = b"this key must not be seen on disk"[:32]


def waiting_key(*slaves: str) -> Key:
    return waiting_keys(1, *slaves)[0]


def waiting_keys(count: int, *slaves: str) -> list[Key]:
    delivery = Delivery(uuid.uuid4(), "master", "a", frozenset(slaves or ("s",)), 6.0)
    fresh = (Key(uuid.uuid4(), QKD, 256, 5.0, {"a": SECRET, "b": SECRET}) for _ in range(count))
    return [key.delivered(delivery, frozenset({"b"})) for key in fresh]


def save(*keys: Key) -> SaveDelivery:
    return SaveDelivery(keys[0].known_delivery.delivery_id, keys)


def forget(key: Key) -> SaveDelivery:
    return SaveDelivery(key.known_delivery.delivery_id, ())


def test_keys_and_homes_survive(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    first, second = waiting_key("s1", "s2").fetched("s1"), waiting_key()
    store.apply([save(first), save(second), SaveHome("sae", "a"), SaveHome("sae", "b")])
    store.apply([forget(second)])
    store.close()
    again = KeyStore(tmp_path)
    assert again.load_keys() == (first,)
    assert again.load_homes() == {"sae": "b"}
    again.close()


def test_what_is_left_of_a_delivery_survives(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    first, second, third = waiting_keys(3, "s1", "s2")
    store.apply([save(first, second, third)])
    store.apply([save(second.fetched("s1"), third)])
    store.close()
    again = KeyStore(tmp_path)
    assert sorted(again.load_keys(), key=str) == sorted([second.fetched("s1"), third], key=str)
    again.close()


def test_nothing_on_disk_shows_a_key(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    key = waiting_key()
    entry = LedgerEntry(1.0, LedgerEvent.DELIVERED_TO_MASTER, (key.key_id,), QKD, 256, "a", "m")
    store.apply([save(key), entry])
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.key_id.bytes in content
    assert SECRET[:8] not in content
    assert (tmp_path / "store.key").read_bytes() not in (tmp_path / "keys.sqlite").read_bytes()
    store.close()


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    KeyStore(directory).close()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in directory.iterdir()} == {
        "keys.sqlite": "0o600",
        "store.key": "0o600",
    }


def test_no_two_rows_share_a_nonce(tmp_path: Path) -> None:
    for _ in range(2):
        store = KeyStore(tmp_path)
        store.apply([save(waiting_key()) for _ in range(5)])
        store.close()
    rows = sqlite3.connect(tmp_path / "keys.sqlite").execute("SELECT sealed FROM deliveries").fetchall()
    assert len({row[0][:28] for row in rows}) == 10


def stored(tmp_path: Path) -> sqlite3.Connection:
    store = KeyStore(tmp_path)
    store.apply([save(waiting_key()), save(waiting_key())])
    store.close()
    return sqlite3.connect(tmp_path / "keys.sqlite", isolation_level=None)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE deliveries SET sealed = substr(sealed, 1, 40) || x'00' || substr(sealed, 42)",
        "UPDATE deliveries SET sealed = x'00'",
        "UPDATE deliveries SET sealed = 'text'",
        "UPDATE deliveries SET sealed = (SELECT sealed FROM deliveries ORDER BY delivery LIMIT 1)",
        "UPDATE deliveries SET delivery = x'00000000000040008000000000000000' WHERE delivery IN "
        "(SELECT delivery FROM deliveries LIMIT 1)",
    ],
)
def test_altered_rows_are_noticed(tmp_path: Path, tampering: str) -> None:
    stored(tmp_path).execute(tampering)
    store = KeyStore(tmp_path)
    with pytest.raises(StoreError):
        store.load_keys()
    store.close()


def test_another_store_key_opens_nothing(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "store.key").unlink()
    store = KeyStore(tmp_path)
    with pytest.raises(StoreError, match="another store key"):
        store.load_keys()
    store.close()


def test_a_store_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    KeyStore(tmp_path).close()
    (tmp_path / "store.key").chmod(0o644)
    with pytest.raises(StoreError, match="0600"):
        KeyStore(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        KeyStore(tmp_path)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    broken = LedgerEntry(None, LedgerEvent.EXPIRED, (uuid.uuid4(),), QKD, 256)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.apply([save(waiting_key()), broken])
    assert store.load_keys() == ()
    store.apply([save(waiting_key())])
    assert len(store.load_keys()) == 1
    store.close()


def test_writes_that_come_together_are_written_together(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    transactions: list[int] = []
    apply = store.apply

    def counting(changes: object) -> None:
        listed = list(changes)  # type: ignore[call-overload]
        transactions.append(len(listed))
        apply(listed)

    store.apply = counting  # type: ignore[method-assign]

    async def play() -> None:
        journal = Journal(store)
        await asyncio.gather(*(journal.write([save(waiting_key())]) for _ in range(50)))
        assert len(store.load_keys()) == 50
        await journal.close()

    asyncio.run(play())
    assert sum(transactions) == 50
    assert len(transactions) < 10


def test_a_write_that_fails_says_so_to_everyone_in_it(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.close()

    async def play() -> Sequence[object]:
        journal = Journal(store)
        results = await asyncio.gather(*(journal.write([SaveHome("a", "b")]) for _ in range(3)), return_exceptions=True)
        await journal.close()
        return results

    assert [type(r) for r in asyncio.run(play())] == [StoreError] * 3


def test_fault_18_a_store_killed_in_the_making_is_completed(tmp_path: Path) -> None:
    key = waiting_key()
    for directory in killed_at_each_line(KeyStore, tmp_path, sqlite_store):
        store = KeyStore(directory)
        store.apply([save(key)])
        store.close()
        assert [found.key_id for found in KeyStore(directory).load_keys()] == [key.key_id]
