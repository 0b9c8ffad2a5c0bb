"""Extensions in their processes: who is there, who lies, who hangs, who crashes; each named by what it did."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from controller.extending.views import network_view, slice_ask
from scripts.bench.pce.instances import SmallLimits, small_network, small_slice
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError, Fault, WrongUse
from scripts.extensions.naming import SHIPPED, Use, parse_use
from scripts.extensions.protocols import Kind
from scripts.testbed.paths import REPOSITORY
from tests.support.wait import wait_until

BAD = REPOSITORY / "tests" / "support" / "extensions"
LIMITS = SmallLimits(sites=5, channels=9, cells=1)


@pytest.fixture
def worker_of():
    workers = []

    def make(text: str, deadline_s: float | None = None, folder: Path = BAD) -> Worker:
        workers.append(Worker(parse_use(text, folder), deadline_s))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture
def question():
    network = small_network(1, LIMITS)
    return network_view(network), slice_ask(network, small_slice(1, network, LIMITS))


SHORT = [f"{kind.value}={name}" for kind, names in SHIPPED.items() for name in names]


@pytest.mark.parametrize("text", SHORT)
def test_what_is_shipped_says_who_it_is(worker_of, text):
    identity = worker_of(text).start()
    assert identity.kind == text.partition("=")[0]
    assert len(identity.sha256) == 64
    assert Path(identity.source).is_file()


def test_the_hash_is_that_of_the_file(worker_of, tmp_path):
    file = tmp_path / "mine.py"
    text = (REPOSITORY / "scripts" / "extensions" / "shipped" / "yen.py").read_text()
    file.write_text(text)
    first = worker_of("pce=./mine.py:YenPce", folder=tmp_path).start()
    file.write_text(text + "\n# another line\n")
    second = worker_of("pce=./mine.py:YenPce", folder=tmp_path).start()
    assert first.sha256 != second.sha256


def test_a_source_that_changes_meanwhile_is_refused(worker_of, tmp_path, question):
    file = tmp_path / "mine.py"
    file.write_text((REPOSITORY / "scripts" / "extensions" / "shipped" / "yen.py").read_text())
    worker = worker_of("pce=./mine.py:YenPce", folder=tmp_path)
    worker.start()
    worker.close()
    with file.open("a") as more:
        more.write("# another line\n")
    with pytest.raises(ExtensionError) as told:
        worker.ask("plan", *question)
    assert told.value.fault is Fault.BROKEN


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("pce=nowhere.to.be.found:Pce", Fault.NOT_THERE),
        ("pce=scripts.extensions.api:Nobody", Fault.NOT_THERE),
        ("pce=./half.py:Half", Fault.BROKEN),
        ("pce=./leaves.py:Gone", Fault.BROKEN),
        ("pce=./liars.py:Incomplete", Fault.INCOMPLETE),
        ("pce=./liars.py:FromTheFuture", Fault.INCOMPLETE),
        ("healing=./liars.py:Mute", Fault.INCOMPLETE),
        ("pce=scripts.extensions.api:EXTENSION_API", Fault.INCOMPLETE),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_asked(worker_of, text, fault):
    with pytest.raises(ExtensionError) as told:
        worker_of(text).start()
    assert told.value.fault is fault


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Sloth", Fault.LATE),
        ("Crasher", Fault.CRASHED),
        ("Raiser", Fault.RAISED),
        ("Mutator", Fault.MUTATED),
        ("Babbler", Fault.MALFORMED),
    ],
)
def test_who_does_not_answer_is_named_by_what_it_did(worker_of, question, name, fault):
    worker = worker_of(f"pce=./liars.py:{name}", deadline_s=0.5)
    worker.start()
    began = time.monotonic()
    with pytest.raises(ExtensionError) as told:
        worker.ask("plan", *question)
    assert told.value.fault is fault
    assert time.monotonic() - began < 3


def test_a_lost_process_rests_and_is_then_started_again(worker_of, question):
    worker = worker_of("pce=./liars.py:Crasher")
    worker.start()

    def fault() -> Fault:
        with pytest.raises(ExtensionError) as told:
            worker.ask("plan", *question)
        return told.value.fault

    assert fault() is Fault.CRASHED
    assert fault() is Fault.RESTING
    wait_until(lambda: fault() is Fault.CRASHED, 5)


def test_nothing_is_left_of_a_closed_one(worker_of):
    worker = worker_of("pce=yen")
    worker.start()
    pid = worker._process.pid
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pce", "KIND"),
        ("pce=", "KIND"),
        ("path=a:b", "pce, healing"),
        ("pce=./nothing.py:Pce", "there is no file"),
        ("pce=nobody", "there are builtin, yen"),
        ("pce=liars.py:Sloth Bear", "no name of a class"),
        ("pce=a b:C", "./a b.py"),
        ("", "KIND"),
    ],
)
def test_what_names_nothing_is_refused_with_the_remedy(text, says):
    with pytest.raises(WrongUse) as told:
        parse_use(text, BAD)
    assert says in str(told.value)


def test_a_file_is_seen_from_where_the_user_stands(tmp_path):
    (tmp_path / "mine.py").write_text("")
    assert parse_use("pce=mine.py:A", tmp_path) == Use(Kind.PCE, f"{tmp_path}/mine.py:A", str(tmp_path))
