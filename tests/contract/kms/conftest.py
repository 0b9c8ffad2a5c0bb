"""In every test of the KMS: no one-time authentication key is used for two messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.one_time_keys import Recorder, recorded


@pytest.fixture(autouse=True)
def one_time_keys() -> Iterator[Recorder]:
    with recorded() as recorder:
        yield recorder
