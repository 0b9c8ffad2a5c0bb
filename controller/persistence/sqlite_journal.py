"""The journal on SQLite: one row per slice and one per connection, written in one transaction per change of a slice.

What a row holds is :mod:`controller.persistence.codec`'s affair; beside it stand what SQLite is to keep unique and in
order. A journal of an earlier version is written anew when it is opened.

WAL with synchronous=NORMAL: a commit survives the death of the process at once and does not wait for the disk; after
a loss of power the last commits may be missing, and reconciliation brings the switches to what is left.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from controller.model.connection import Connection
from controller.model.errors import DriverError
from controller.model.slice_record import SliceRecord
from controller.persistence import codec, version_4, version_5, version_6

SLICES = "CREATE TABLE slices (name TEXT PRIMARY KEY, created_at REAL NOT NULL, document TEXT NOT NULL) STRICT"
CONNECTIONS = """
CREATE TABLE connections (
    id TEXT PRIMARY KEY, slice TEXT NOT NULL REFERENCES slices (name) ON DELETE CASCADE, position INTEGER NOT NULL,
    number INTEGER NOT NULL UNIQUE, document TEXT NOT NULL
) STRICT
"""
PROCESSES = "CREATE TABLE processes (begun INTEGER NOT NULL) STRICT"
EARLIER: dict[int, ModuleType] = {module.VERSION: module for module in (version_4, version_5, version_6)}


class StoreError(DriverError):
    """The database could not be read or written; nothing of the change was made."""


class Store:
    """Implements :class:`controller.operations.drivers.Journal`."""

    def __init__(self, path: Path, busy_timeout_s: float = 1.0) -> None:
        self._path = path
        try:
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (OSError, sqlite3.Error, codec.Unreadable) as error:
            raise StoreError(f"database {path}: {error}") from error
        path.chmod(0o600)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == codec.VERSION:
            return
        if version not in (0, *EARLIER):
            text = f"it is of version {version}, this program reads {min(EARLIER)} to {codec.VERSION}"
            raise StoreError(f"database {self._path}: {text}")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            kept = [] if version == 0 else self._take(EARLIER[version])
            self._db.execute(SLICES)
            self._db.execute(CONNECTIONS)
            if version in (0, version_4.VERSION):
                self._db.execute(PROCESSES)
                self._db.execute("INSERT INTO processes VALUES (0)")
            for record, connections in kept:
                self._write(record, connections)
            self._db.execute(f"PRAGMA user_version = {codec.VERSION}")
            self._db.execute("COMMIT")
        finally:
            self._undo()

    def _take(self, earlier: ModuleType) -> list[tuple[SliceRecord, list[Connection]]]:
        """What is there, as that version reads it, and its tables gone."""
        slices, connections = (self._db.execute(q).fetchall() for q in (earlier.SLICES, earlier.CONNECTIONS))
        kept: list[tuple[SliceRecord, list[Connection]]] = list(earlier.read_slices(slices, connections))
        self._db.execute("DROP TABLE connections")
        self._db.execute("DROP TABLE slices")
        return kept

    def close(self) -> None:
        self._db.close()

    def save(self, *entries: tuple[SliceRecord, Iterable[Connection]]) -> None:
        """Write slices with exactly these connections, in one transaction."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for record, connections in entries:
                self._write(record, connections)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            names = ", ".join(record.name for record, _ in entries)
            raise StoreError(f"slice {names} not saved: {error}") from error

    def forget(self, name: str) -> None:
        """Strike a slice out."""
        try:
            self._db.execute("DELETE FROM slices WHERE name = ?", (name,))
        except sqlite3.Error as error:
            raise StoreError(f"slice {name} not struck out: {error}") from error

    def begin_process(self) -> int:
        """How many processes have begun with this journal before."""
        try:
            (begun,) = self._db.execute("UPDATE processes SET begun = begun + 1 RETURNING begun - 1").fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"database {self._path}: {error}") from error
        return int(begun)

    def load(self) -> tuple[tuple[SliceRecord, tuple[Connection, ...]], ...]:
        """Everything that was saved, oldest slice first."""
        try:
            slices = self._db.execute("SELECT name, document FROM slices ORDER BY created_at, name").fetchall()
            rows = self._db.execute("SELECT slice, document FROM connections ORDER BY position").fetchall()
            return tuple(_read(document, [d for s, d in rows if s == name]) for name, document in slices)
        except (sqlite3.Error, codec.Unreadable) as error:
            raise StoreError(f"database {self._path}: {error}") from error

    def _write(self, record: SliceRecord, connections: Iterable[Connection]) -> None:
        row: tuple[Any, ...] = (record.name, record.created_at, json.dumps(codec.encode_slice(record)))
        self._db.execute("INSERT OR REPLACE INTO slices VALUES (?, ?, ?)", row)
        rows = [
            (c.id, record.name, record.connection_ids.index(c.id), c.number, json.dumps(codec.encode_connection(c)))
            for c in connections
        ]
        self._db.executemany("INSERT INTO connections VALUES (?, ?, ?, ?, ?)", rows)

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _read(document: str, connection_documents: list[str]) -> tuple[SliceRecord, tuple[Connection, ...]]:
    connections = tuple(codec.decode_connection(_parse(text)) for text in connection_documents)
    return codec.decode_slice(_parse(document), (c.id for c in connections)), connections


def _parse(document: str) -> Any:
    try:
        return json.loads(document)
    except ValueError as error:
        raise codec.Unreadable(str(error)) from error
