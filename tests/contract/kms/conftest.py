"""A KMS for each file of tests; in every test no one-time authentication key is used for two messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.one_time_keys import Recorder, recorded
from tests.support.running_kms import KmsWorld, running_kms


@pytest.fixture(autouse=True)
def one_time_keys() -> Iterator[Recorder]:
    with recorded() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsWorld]:
    with running_kms(tmp_path_factory.mktemp("kms")) as world:
        for site in ("cell1", "metro1", "core1"):
            world.credentials(f"sae-{site}", site)
        yield world
