"""The store of what must survive a restart: delivered keys that wait for their slave, SAEs' homes, the ledger.

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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kms.errors import StoreError
from kms.keys import Key, KeySource, KeyState
from kms.ledger import LedgerEntry

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS awaiting (key_id TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS homes (sae TEXT PRIMARY KEY, site TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY, at REAL NOT NULL, event TEXT NOT NULL,
    key_id TEXT NOT NULL, key_source TEXT NOT NULL, size INTEGER NOT NULL, site TEXT, sae TEXT);
"""
KEPT_LEDGER_ROWS = 100_000
_SALT_BYTES, _NONCE_BYTES = 16, 12


@dataclass(frozen=True)
class SaveKey:
    """Insert or replace a key that awaits slaves."""

    key: Key


@dataclass(frozen=True)
class ForgetKey:
    key_id: uuid.UUID


@dataclass(frozen=True)
class SaveHome:
    sae: str
    site: str


Change = SaveKey | ForgetKey | SaveHome | LedgerEntry


class KeyStore:
    """One database file and its key file (both 0600). Synchronous; one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Open or create the store in ``directory``; StoreError when it cannot be."""
        self._path = directory / "keys.sqlite"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            store_key = _read_or_make_key(directory / "store.key")
            self._path.touch(mode=0o600)
            self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.executescript(_SCHEMA)
            self._database.execute(
                "DELETE FROM ledger WHERE entry <= (SELECT MAX(entry) FROM ledger) - ?", (KEPT_LEDGER_ROWS,)
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path}: {error}") from error
        self._cipher = _RowCipher(store_key)

    def load_keys(self) -> tuple[Key, ...]:
        """The keys that await slaves; StoreError when a row was altered or belongs to another store key."""
        rows = self._query("SELECT key_id, sealed FROM awaiting")
        return tuple(_key_from_json(key_id, self._cipher.open(sealed, key_id)) for key_id, sealed in rows)

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
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def close(self) -> None:
        self._database.close()

    def _apply(self, change: Change) -> None:
        match change:
            case SaveKey(key):
                sealed = self._cipher.seal(_key_to_json(key), str(key.key_id))
                self._database.execute("REPLACE INTO awaiting VALUES (?, ?)", (str(key.key_id), sealed))
            case ForgetKey(key_id):
                self._database.execute("DELETE FROM awaiting WHERE key_id = ?", (str(key_id),))
            case SaveHome(sae, site):
                self._database.execute("REPLACE INTO homes VALUES (?, ?)", (sae, site))
            case LedgerEntry():
                row = (change.at, change.event.value, str(change.key_id), change.source.label, change.size_bits)
                self._database.execute(
                    "INSERT INTO ledger (at, event, key_id, key_source, size, site, sae) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*row, change.site, change.sae),
                )

    def _query(self, statement: str) -> list[tuple[str, ...]]:
        try:
            return self._database.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


class Journal:
    """Writes changes from an event loop: ``await write()`` returns when they are on disk.

    Requests that arrive while a write is under way share the next one (group commit).
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kms-store")
        self._pending: list[tuple[Sequence[Change], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, changes: Sequence[Change]) -> None:
        """StoreError when the changes could not be written; then none of them was."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._pending.append((changes, done))
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_pending())
        await asyncio.shield(done)

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()
        self._store.close()

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            changes = [change for changes, _ in batch for change in changes]
            try:
                await loop.run_in_executor(self._thread, self._store.apply, changes)
            except StoreError as error:
                _log.error("keys could not be stored: %s", error)
                for _, done in batch:
                    done.set_exception(StoreError(str(error)))
            else:
                for _, done in batch:
                    done.set_result(None)
            finally:
                # Whatever else went wrong: nobody waits for ever.
                for _, done in batch:
                    done.cancel()


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

    def open(self, sealed: str | bytes, name: str) -> bytes:
        if not isinstance(sealed, bytes) or len(sealed) < _SALT_BYTES + _NONCE_BYTES:
            raise StoreError(f"stored key {name}: not a sealed row")
        salt, nonce = sealed[:_SALT_BYTES], sealed[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        try:
            return self._cipher(salt).decrypt(nonce, sealed[_SALT_BYTES + _NONCE_BYTES :], name.encode())
        except InvalidTag:
            raise StoreError(f"stored key {name}: it was altered, or sealed under another store key") from None

    def _cipher(self, salt: bytes) -> AESGCM:
        if salt not in self._ciphers:
            derived = HKDF(hashes.SHA256(), 32, salt=salt, info=b"qslice kms store").derive(self.store_key)
            self._ciphers[salt] = AESGCM(derived)
        return self._ciphers[salt]


def _read_or_make_key(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise StoreError(f"{path}: others may read it; its mode must be 0600") from None
        key = path.read_bytes()
        if len(key) != 32:
            raise StoreError(f"{path}: not a store key") from None
        return key
    with os.fdopen(handle, "wb") as file:
        key = os.urandom(32)
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def _key_to_json(key: Key) -> bytes:
    return json.dumps(
        {
            "source": key.source.label,
            "size": key.size_bits,
            "made_at": key.made_at,
            "copies": {site: base64.b64encode(copy).decode() for site, copy in key.copies.items()},
            "master": key.master,
            "master_site": key.master_site,
            "named": sorted(key.named),
            "awaiting": sorted(key.awaiting),
            "delivered_at": key.delivered_at,
        }
    ).encode()


def _key_from_json(key_id: str, document: bytes) -> Key:
    row = json.loads(document)
    return Key(
        key_id=uuid.UUID(key_id),
        source=KeySource.parse(row["source"]),
        size_bits=row["size"],
        made_at=row["made_at"],
        copies={site: base64.b64decode(copy) for site, copy in row["copies"].items()},
        state=KeyState.AWAITING_SLAVE,
        master=row["master"],
        master_site=row["master_site"],
        named=frozenset(row["named"]),
        awaiting=frozenset(row["awaiting"]),
        delivered_at=row["delivered_at"],
    )
