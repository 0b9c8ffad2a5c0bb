"""A journal that an earlier version wrote is taken over.

version_4.sql is a dump of one that commit 083db03 left, version_5.sql of the same as commit 7ef2856 took it over,
version_6.sql as ace5c161 did.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from controller.model.reason import ReasonCode
from controller.model.request import Protection
from controller.model.states import ConnectionState, SliceState
from controller.persistence import codec
from controller.persistence.sqlite_journal import Store, StoreError
from tests.support.controller_bench import Bench
from topologies.catalog import metro_ring
from topologies.spec import SecurityClass


def journal(directory: Path, version: int) -> Path:
    path = directory / "db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(Path(__file__).with_name(f"version_{version}.sql").read_text(encoding="utf-8"))
    db.close()
    return path


@pytest.fixture(params=[4, 5, 6])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return journal(tmp_path, request.param)


def version_of(database: Path) -> int:
    db = sqlite3.connect(database)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return int(version)


def test_an_earlier_journal_is_read_and_written_anew(database: Path) -> None:
    store = Store(database)
    (cdn, (control, access, backhaul)), (later, none) = store.load()
    store.close()
    assert version_of(database) == codec.VERSION
    assert (cdn.name, cdn.state, cdn.compute_site) == ("cdn", SliceState.DEGRADED, "agg1")
    assert cdn.connection_ids == ("cdn/cell1-control", "cdn/cell1-compute", "cdn/compute-core")
    assert (later.name, later.state, later.compute_site, none) == ("later", SliceState.SCHEDULED, None, ())
    assert (later.request.start, later.request.end) == (1_000_000_060.5, 1_000_000_120.0)
    assert control.state is ConnectionState.DEGRADED
    assert control.lanes == ()
    assert control.reason is not None
    assert control.reason.code is ReasonCode.EARLIER_VERSION
    assert control.reason.detail.startswith("no feasible path: cdn/cell1-control: security")
    assert control.request.spec.security.key_source == "qkd+qra"
    assert (control.request.spec.max_hops, control.request.spec.exclude_sites) == (9, frozenset({"metro3"}))
    assert access.fallback is SecurityClass.QRA
    assert access.preferred is not None
    assert access.preferred.channels == ("cell1-agg1-qkd",)
    assert [r.cause for r in access.reroutes] == ["failure", "fallback"]
    assert access.request.spec.revert_after_s == 30
    assert access.request.spec.suite == "chacha20-poly1305"
    assert backhaul.request.spec.protection is Protection.ONE_TO_ONE
    working, protecting = backhaul.lanes
    assert working.route.channels == ("agg1-metro1-qra", "metro1-core1-qra")
    assert set(working.route.channels).isdisjoint(protecting.route.channels)
    assert working.forward_detour
    assert cdn.request.specs["backhaul"] == backhaul.request.spec
    assert backhaul.request.spec.padding == "mtu"
    again = Store(database)
    assert again.load() == ((cdn, (control, access, backhaul)), (later, ()))
    again.close()


def test_a_controller_goes_on_with_what_an_earlier_version_left(database: Path) -> None:
    bench = Bench(metro_ring(), database)
    bench.maintenance.load()
    bench.maintenance.poll_keys()
    bench.maintenance.retry()  # no channel is cut any more
    assert bench.model.slice("cdn").state is SliceState.ACTIVE
    assert all(c.reason is None and c.fallback is None for c in bench.model.connections_of("cdn"))
    bench.repair_all()


@pytest.mark.parametrize("version", [5, 6])
def test_the_processes_of_an_earlier_version_stay_counted(tmp_path: Path, version: int) -> None:
    store = Store(journal(tmp_path, version))
    assert store.begin_process() == 1
    store.close()


@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize("table", ["slices", "connections"])
def test_an_earlier_journal_that_cannot_be_read_is_refused_and_left_alone(
    tmp_path: Path, table: str, version: int
) -> None:
    database = journal(tmp_path, version)
    db = sqlite3.connect(database)
    column, value = (
        ("state", "'SOMEWHERE'") if version == 4 else ("document", "json_set(document, '$.state', 'SOMEWHERE')")
    )
    db.execute(f"UPDATE {table} SET {column} = {value}")
    db.commit()
    before = list(db.iterdump())
    db.close()
    with pytest.raises(StoreError, match="SOMEWHERE"):
        Store(database)
    db = sqlite3.connect(database)
    assert list(db.iterdump()) == before
    db.close()
    assert version_of(database) == version


@pytest.mark.parametrize("table", ["slices", "connections"])
@pytest.mark.parametrize("document", ["{", "[]", '{"version": 6}', '{"version": 7}', '{"version": 7, "request": {}}'])
def test_what_stands_garbled_in_the_journal_is_an_error_that_names_the_database(
    database: Path, table: str, document: str
) -> None:
    Store(database).close()
    db = sqlite3.connect(database)
    db.execute(f"UPDATE {table} SET document = ?", (document,))
    db.commit()
    db.close()
    store = Store(database)
    with pytest.raises(StoreError, match=str(database)):
        store.load()
    store.close()
