"""The networks of ``bench scale`` and how it reads what a run takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scripts.bench.scale.footprint import busy_share, memory_mb
from scripts.bench.scale.networks import LARGEST, adjacencies, network, slice_requests
from topologies.catalog import load


def test_the_smallest_is_ukqntel() -> None:
    assert network(5) == load("ukqntel")


@pytest.mark.parametrize(("sites", "channels"), [(24, 192), (48, 384), (100, 800), (LARGEST, 8 * LARGEST)])
def test_every_site_has_four_neighbours_on_average(sites: int, channels: int) -> None:
    topology = network(sites)
    assert len(topology.sites) == sites
    assert len(topology.channels) == channels
    assert len({frozenset(pair) for pair in adjacencies(sites)}) == 2 * sites
    assert topology == network(sites)


@pytest.mark.parametrize("sites", [5, 6, 7, 24, 48, 100])
def test_a_slice_has_paths_of_the_same_length_everywhere(sites: int) -> None:
    topology = network(sites)
    joined = {frozenset(channel.ends) for channel in topology.channels}
    for place in slice_requests(topology):
        cells, compute, core = place["cells"], place["compute"], place["core"]
        assert isinstance(cells, list)
        aggregation = topology.site_names[topology.site_names.index(cells[0]) + 2]
        hops = [*((cell, aggregation) for cell in cells), (aggregation, compute), (compute, core)]
        assert {frozenset(hop) for hop in hops} <= joined


def test_memory_is_that_of_the_processes_alone() -> None:
    assert 5 < memory_mb([os.getpid()]) < 2000
    assert memory_mb([]) == 0


def test_a_busy_process_takes_a_processor_and_a_sleeping_one_none() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    asleep = subprocess.Popen(["sleep", "60"])
    try:
        assert busy_share([busy.pid], 0.5) > 0.1
        assert busy_share([asleep.pid], 0.2) < 0.05
    finally:
        for process in (busy, asleep):
            process.kill()
            process.wait()
