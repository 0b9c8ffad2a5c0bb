"""`Testbed`: the document's examples as they are written there, and from where notebooks call it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts.errors import DidNotHold
from scripts.testbed import Testbed
from scripts.testbed.paths import REPOSITORY
from tests.support.launcher import environment, footprint, left_since
from tests.support.wait import PATIENCE

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

DOCUMENT = REPOSITORY / "docs/how-to/python.md"
MADE = {"failure.py": ["results/failure/report.html", "results/failure/report.json"], "study.py": ["study.svg"]}


def examples() -> dict[str, str]:
    """Every indented block that begins with a file's name, by that name."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^ {4}.*\n|^\n)+", text, re.MULTILINE)
    found = {}
    for block in blocks:
        code = re.sub(r"^ {4}", "", block.strip("\n") + "\n", flags=re.MULTILINE)
        if name := re.match(r"# (\w+\.py)\n", code):
            found[name[1]] = code
    return found


@pytest.mark.parametrize("name", ["failure.py", "study.py", "test_recovery.py"])
def test_the_documents_examples_run_as_they_are_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(examples()[name])
    words = ["-m", "pytest", "-p", "no:cacheprovider", name] if name.startswith("test_") else [name]
    before = footprint()
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment(MPLBACKEND=""), capture_output=True, text=True,
        timeout=120 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_since(before) == {}
    for made in MADE.get(name, []):
        assert (tmp_path / made).stat().st_size > 1000


def test_it_works_in_a_thread_beside_a_running_event_loop_and_leaves_nothing() -> None:
    """As in a notebook: its kernel has a loop running, and may call from a thread other than the main one."""

    def use() -> None:
        assert threading.current_thread() is not threading.main_thread()
        with Testbed() as testbed:
            with pytest.raises(DidNotHold, match="already up"):
                Testbed().up()
            assert Testbed.running().topology == testbed.topology
            with testbed.events() as events:
                made = testbed.create("cdn", cells=["cell1"])
                assert events.wait_for("slice", slice="cdn", state="ACTIVE").time > 0
            assert testbed.ping(made.connection("cell1-compute")).received > 0
            assert testbed.exec("cell1", "hostname").returncode == 0
            assert all(s.secret_bps for s in testbed.keys().sections.values())
            testbed.tap("s2")
            testbed.wait_until(lambda: testbed.keys().sections["s2"].state == "stopped", 30 * PATIENCE)
            testbed.cut("s1")
            testbed.cut(testbed.topology.channels[0].wavelength)
            channel = made.connection("cell1-compute").path[0]
            testbed.cut(channel)
            assert testbed.channels()[channel].state == "down"
            testbed.lift_all()
            assert testbed.faults() == ()
            testbed.delete("cdn")
            assert testbed.slices() == ()

    async def notebook() -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, use)

    before = footprint()
    asyncio.run(notebook())
    assert left_since(before) == {}


def test_what_is_refused_says_why_and_a_failing_block_leaves_nothing() -> None:
    from scripts.measure.errors import ApiRefusal

    before = footprint()
    with pytest.raises(ApiRefusal) as caught, Testbed() as testbed:
        testbed.create("cdn", compute={"site": "agg1", "vcpus": 10_000, "memory_gb": 1})
    assert caught.value.code == "infeasible"
    assert left_since(before) == {}
