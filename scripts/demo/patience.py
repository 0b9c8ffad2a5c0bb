"""Slices made on a network whose KMS may just have started, or whose last fault has just been lifted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from scripts.demo.errors import ApiError
from scripts.demo.provision import Provisioned, create_slice
from scripts.system import RunningSystem

FIRST_KEYS_S = 60.0


def create_patiently(system: RunningSystem, request: Mapping[str, Any]) -> Provisioned:
    """As create_slice, again and again until there are keys: on a busy machine the first ones take a while."""
    until = time.monotonic() + FIRST_KEYS_S
    while True:
        try:
            return create_slice(system, request)
        except ApiError as error:
            if "key" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(1.0)
