"""The journal on SQLite: one row per slice and one per connection, written in one transaction per change of a slice.

WAL with synchronous=NORMAL: a commit survives the death of the process at once and does not wait for the disk; after
a loss of power the last commits may be missing, and reconciliation brings the switches to what is left.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from controller.model.connection import Connection
from controller.model.errors import DriverError
from controller.model.path import Lane, Route
from controller.model.reason import Reason, ReasonCode
from controller.model.request import connections_of
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.policy.reroute_audit import reroute_from_dict, reroute_view
from controller.schema.slice_request import parse_slice_request, slice_request_to_dict
from topologies.spec import SecurityClass

SCHEMA_VERSION = 4
SCHEMA = """
CREATE TABLE slices (
    name TEXT PRIMARY KEY, request TEXT NOT NULL, compute_site TEXT, state TEXT NOT NULL,
    created_at REAL NOT NULL, timings_ms TEXT NOT NULL, reason TEXT, reservation TEXT, expires_at REAL
) STRICT;
CREATE TABLE connections (
    id TEXT PRIMARY KEY, slice TEXT NOT NULL REFERENCES slices (name) ON DELETE CASCADE, position INTEGER NOT NULL,
    number INTEGER NOT NULL UNIQUE, generation INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT, lanes TEXT NOT NULL,
    edition INTEGER NOT NULL, reroutes TEXT NOT NULL, fallback TEXT, preferred TEXT
) STRICT;
"""


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
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"database {path}: {error}") from error
        path.chmod(0o600)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreError(f"database {self._path}: it is of version {version}, this program reads {SCHEMA_VERSION}")

    def close(self) -> None:
        self._db.close()

    def save(self, *entries: tuple[SliceRecord, Iterable[Connection]]) -> None:
        """Write slices with exactly these connections, in one transaction."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for record, connections in entries:
                self._db.execute("INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _slice_row(record))
                rows = [_connection_row(record, connection) for connection in connections]
                self._db.executemany("INSERT INTO connections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
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

    def load(self) -> tuple[tuple[SliceRecord, tuple[Connection, ...]], ...]:
        """Everything that was saved, oldest slice first."""
        try:
            slices = self._db.execute("SELECT * FROM slices ORDER BY created_at, name").fetchall()
            rows = self._db.execute("SELECT * FROM connections ORDER BY position").fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"database {self._path}: {error}") from error
        return tuple(_slice_from_row(s, [r for r in rows if r[1] == s[0]]) for s in slices)

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _slice_row(record: SliceRecord) -> tuple[Any, ...]:
    return (
        record.name, json.dumps(slice_request_to_dict(record.request)), record.compute_site, record.state.value,
        record.created_at, json.dumps(dict(record.timings_ms)), record.reason, record.reservation, record.expires_at,
    )  # fmt: skip


def _connection_row(record: SliceRecord, connection: Connection) -> tuple[Any, ...]:
    c = connection
    return (
        c.id, record.name, record.connection_ids.index(c.id), c.number, c.generation, c.state.value,
        None if c.reason is None else _reason_text(c.reason),
        json.dumps([asdict(lane) for lane in c.lanes]), c.edition,
        json.dumps([reroute_view(reroute) for reroute in c.reroutes]),
        None if c.fallback is None else c.fallback.label,
        None if c.preferred is None else json.dumps(asdict(c.preferred)),
    )  # fmt: skip


def _slice_from_row(
    row: tuple[Any, ...], connection_rows: list[tuple[Any, ...]]
) -> tuple[SliceRecord, tuple[Connection, ...]]:
    _, request_json, compute_site, state, created_at, timings, reason, reservation, expires_at = row
    request = parse_slice_request(json.loads(request_json))
    requests = {} if compute_site is None else {c.id: c for c in connections_of(request, compute_site)}
    connections = tuple(
        Connection(
            request=requests[connection_id.partition("@")[0]],
            number=number,
            lanes=tuple(_lane_from_dict(raw) for raw in json.loads(lanes)),
            generation=generation,
            state=ConnectionState(connection_state),
            reason=None if why is None else _reason(why),
            edition=edition,
            reroutes=tuple(reroute_from_dict(raw) for raw in json.loads(reroutes)),
            fallback=None if fallback is None else SecurityClass.parse(fallback),
            preferred=None if preferred is None else _route_from_dict(json.loads(preferred)),
        )
        for (
            connection_id,
            _,
            _,
            number,
            generation,
            connection_state,
            why,
            lanes,
            edition,
            reroutes,
            fallback,
            preferred,
        ) in connection_rows
    )
    record = SliceRecord(
        request=request,
        compute_site=compute_site,
        connection_ids=tuple(c.id for c in connections),
        state=SliceState(state),
        created_at=created_at,
        timings_ms=json.loads(timings),
        reason=reason,
        reservation=reservation,
        expires_at=expires_at,
    )
    return record, connections


def _reason_text(reason: Reason) -> str:
    return json.dumps({"code": reason.code.value, "detail": reason.detail, "about": list(reason.about)})


def _reason(text: str) -> Reason:
    """Inverse of :func:`_reason_text`; earlier versions wrote the sentence alone."""
    if not text.startswith("{"):
        return Reason(ReasonCode.EARLIER_VERSION, text)
    raw = json.loads(text)
    return Reason(ReasonCode(raw["code"]), raw["detail"], tuple(raw["about"]))


def _lane_from_dict(raw: dict[str, Any]) -> Lane:
    return Lane(
        route=_route_from_dict(raw["route"]),
        forward=tuple(raw["forward"]),
        reverse=tuple(raw["reverse"]),
        generation=raw["generation"],
        forward_detour=tuple(raw.get("forward_detour", ())),
        reverse_detour=tuple(raw.get("reverse_detour", ())),
    )


def _route_from_dict(raw: dict[str, Any]) -> Route:
    return Route(
        sites=tuple(raw["sites"]),
        channels=tuple(raw["channels"]),
        latency_us=raw["latency_us"],
        cost=raw["cost"],
        key_links=tuple(raw["key_links"]),
        key_sections=tuple((section, times) for section, times in raw["key_sections"]),
    )
