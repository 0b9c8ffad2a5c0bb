"""The store of what must survive a restart: delivered keys that wait for their slave, SAEs' homes, the ledger.

A row is what is left of one delivery: a request for many keys costs one row, and one more when its twins are fetched.
SQLite, keys encrypted with AES-256-GCM. Each run of the KMS derives its own encryption key from the store key and a
random salt, and counts its nonces, so that no nonce is ever used twice under one key. A change is written before the
request that made it is answered: see :class:`Journal`.

Not defended: whoever can write the files can put back an older copy of all of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kms.errors import StoreError
from kms.keys.changes import Change, SaveDelivery, SaveHome
from kms.keys.key import Delivery, Key, KeySource, KeyState, RelayKind
from kms.keys.ledger import LedgerEntry
from kms.own_directory import OwnDirectory

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (delivery BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS homes (sae TEXT PRIMARY KEY, site TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY, at REAL NOT NULL, event TEXT NOT NULL,
    key_ids BLOB NOT NULL, key_source TEXT NOT NULL, size INTEGER NOT NULL, site TEXT, sae TEXT);
"""
KEPT_LEDGER_ROWS = 100_000
PRUNED_AFTER_ROWS = 1_000  # so many at a time: a few milliseconds' work
_SALT_BYTES, _NONCE_BYTES = 16, 12
_STORE_KEY_BYTES = 32


class KeyStore:
    """One database file and its key file (both 0600). Synchronous."""

    def __init__(self, directory: Path) -> None:
        """Open or create the store in ``directory``; StoreError when it cannot be."""
        self._path = directory / "keys.sqlite"
        try:
            store_key = _read_or_make_key(directory / "store.key")
            self._path.touch(mode=0o600)
            self._database = sqlite3.connect(self._path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.executescript(_SCHEMA)
            self._prune_ledger()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path}: {error}") from error
        self._cipher = _RowCipher(store_key)

    def load_keys(self) -> tuple[Key, ...]:
        """The keys that await slaves; StoreError when a row was altered or belongs to another store key."""
        found: list[Key] = []
        for delivery, sealed in self._query("SELECT delivery, sealed FROM deliveries"):
            delivery_id = uuid.UUID(bytes=delivery)
            found += _keys_from_json(delivery_id, self._cipher.open(sealed, str(delivery_id)))
        return tuple(found)

    def load_homes(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self._query("SELECT sae, site FROM homes")}

    def apply(self, changes: Iterable[Change]) -> None:
        """All of the changes, or none and a StoreError."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._apply(change)
                self._database.execute("COMMIT")
            except BaseException:  # whatever ends it, no transaction stays open for the next to fail at
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def close(self) -> None:
        self._database.close()

    def _prune_ledger(self) -> None:
        self._ledger_rows_since_pruning = 0
        self._database.execute(
            "DELETE FROM ledger WHERE entry <= (SELECT MAX(entry) FROM ledger) - ?", (KEPT_LEDGER_ROWS,)
        )

    def _apply(self, change: Change) -> None:
        match change:
            case SaveDelivery(delivery_id, ()):
                self._database.execute("DELETE FROM deliveries WHERE delivery = ?", (delivery_id.bytes,))
            case SaveDelivery(delivery_id, keys):
                sealed = self._cipher.seal(_keys_to_json(keys), str(delivery_id))
                self._database.execute("REPLACE INTO deliveries VALUES (?, ?)", (delivery_id.bytes, sealed))
            case SaveHome(sae, site):
                self._database.execute("REPLACE INTO homes VALUES (?, ?)", (sae, site))
            case LedgerEntry():
                ids = b"".join(key_id.bytes for key_id in change.key_ids)
                row = (change.at, change.event.value, ids, change.source.label, change.size_bits)
                self._database.execute(
                    "INSERT INTO ledger (at, event, key_ids, key_source, size, site, sae) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*row, change.site, change.sae),
                )
                self._ledger_rows_since_pruning += 1
                if self._ledger_rows_since_pruning >= PRUNED_AFTER_ROWS:
                    self._prune_ledger()

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


class Journal:
    """Writes changes from an event loop: ``await write()`` returns when they are on disk.

    Changes of all the requests that are at work in a turn or two of the loop share one transaction (group commit). It
    is made in the loop itself: handing it to a thread and back costs more than the write, 0.1 ms, and under load the
    interpreter's lock made it ten times that.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._pending: list[tuple[Sequence[Change], asyncio.Future[None]]] = []
        self._is_shared = False  # the last write was several requests'

    async def write(self, changes: Sequence[Change]) -> None:
        """StoreError when the changes could not be written; then none of them was."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if not self._pending:
            if self._is_shared:
                # Where several come at a time, a turn later: more share the write, most of whose cost is that of one.
                loop.call_soon(loop.call_soon, self._write_pending)
            else:
                loop.call_soon(self._write_pending)
        self._pending.append((changes, done))
        await done  # if who waits is gone, that ends with them: the changes are written all the same

    async def close(self) -> None:
        self._write_pending()
        self._store.close()

    def _write_pending(self) -> None:
        batch, self._pending = self._pending, []
        if not batch:
            return
        self._is_shared = len(batch) > 1
        try:
            self._store.apply(change for changes, _ in batch for change in changes)
        except StoreError as error:
            _log.error("keys could not be stored: %s", error)
            _refuse(batch, str(error))
        except Exception as error:  # noqa: BLE001 -- whatever it was, everybody who waits is told that nothing was written
            _log.exception("keys could not be stored")
            _refuse(batch, f"an internal error: {type(error).__name__}")
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)


def _refuse(batch: Sequence[tuple[Sequence[Change], asyncio.Future[None]]], why: str) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(StoreError(why))


@dataclass
class _RowCipher:
    """AES-256-GCM over rows; a sealed row is salt, nonce, ciphertext and tag, bound to the row's name."""

    store_key: bytes = field(repr=False)
    _salt: bytes = field(default_factory=lambda: os.urandom(_SALT_BYTES))
    _sealed_rows: int = 0
    _ciphers: dict[bytes, AESGCM] = field(default_factory=dict, repr=False)

    def seal(self, plain: bytes, name: str) -> bytes:
        self._sealed_rows += 1
        nonce = self._sealed_rows.to_bytes(_NONCE_BYTES, "big")
        return self._salt + nonce + self._cipher(self._salt).encrypt(nonce, plain, name.encode())

    def open(self, sealed: object, name: str) -> bytes:
        if not isinstance(sealed, bytes) or len(sealed) < _SALT_BYTES + _NONCE_BYTES:
            raise StoreError(f"stored delivery {name}: not a sealed row")
        salt, nonce = sealed[:_SALT_BYTES], sealed[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        try:
            return self._cipher(salt).decrypt(nonce, sealed[_SALT_BYTES + _NONCE_BYTES :], name.encode())
        except InvalidTag:
            raise StoreError(f"stored delivery {name}: it was altered, or sealed under another store key") from None

    def _cipher(self, salt: bytes) -> AESGCM:
        if salt not in self._ciphers:
            derived = HKDF(hashes.SHA256(), 32, salt=salt, info=b"qslice kms store").derive(self.store_key)
            self._ciphers[salt] = AESGCM(derived)
        return self._ciphers[salt]


def _read_or_make_key(path: Path) -> bytes:
    with OwnDirectory.make(path.parent) as own:
        if _is_empty(path):  # a version that made it in two steps was killed in between: nothing was sealed with it
            own.write(path.name, os.urandom(_STORE_KEY_BYTES), 0o600)
        else:
            own.write_new(path.name, os.urandom(_STORE_KEY_BYTES), 0o600)
    if path.stat().st_mode & 0o077:
        raise StoreError(f"{path}: others may read it; its mode must be 0600")
    key = path.read_bytes()
    if len(key) != _STORE_KEY_BYTES:
        raise StoreError(f"{path}: not a store key")
    return key


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return False


def _keys_to_json(keys: Sequence[Key]) -> bytes:
    """A delivery's keys: they share all but their bytes, where and how they came, and whom they still wait for."""
    first = keys[0]
    delivery = first.known_delivery
    groups: dict[tuple[frozenset[str], frozenset[str], int, int], list[Key]] = {}
    for key in keys:
        groups.setdefault((frozenset(key.copies), key.awaiting, key.crossings, key.relays), []).append(key)
    return orjson.dumps(
        {
            "source": first.source.label,
            "size": first.size_bits,
            "made_at": min(key.made_at for key in keys),
            "master": delivery.master,
            "master_site": delivery.master_site,
            "named": sorted(delivery.named),
            "delivered_at": delivery.at,
            "route": delivery.route and delivery.route.value,
            "groups": [
                {
                    "awaiting": sorted(awaiting),
                    "crossings": crossings,
                    "relays": relays,
                    "key_ids": _joined(key.key_id.bytes for key in group),
                    "copies": {site: _joined(key.copies[site] for key in group) for site in sorted(sites)},
                }
                for (sites, awaiting, crossings, relays), group in groups.items()
            ],
        }
    )


def _keys_from_json(delivery_id: uuid.UUID, document: bytes) -> Iterator[Key]:
    row = json.loads(document)
    named = frozenset(row["named"])
    route = RelayKind(row["route"]) if row["route"] else None
    delivery = Delivery(delivery_id, row["master"], row["master_site"], named, row["delivered_at"], route)
    source, size_bits = KeySource.parse(row["source"]), row["size"]
    for group in row["groups"]:
        awaiting = frozenset(group["awaiting"])
        ids = _parted(group["key_ids"], 16)
        by_site = {site: _parted(text, size_bits // 8) for site, text in group["copies"].items()}
        for n, key_id in enumerate(ids):
            copies = {site: parts[n] for site, parts in by_site.items()}
            yield Key(
                uuid.UUID(bytes=key_id), source, size_bits, row["made_at"], copies, KeyState.AWAITING_SLAVE, delivery,
                awaiting, group.get("crossings", 0), group.get("relays", 1),
            )  # fmt: skip


def _joined(parts: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(parts)).decode()


def _parted(text: str, length: int) -> list[bytes]:
    joined = base64.b64decode(text)
    return [joined[place : place + length] for place in range(0, len(joined), length)]
