"""What a test needs of the machine is probed, once. A test that lacks it is skipped with the reason; where set-up has
just made the environment complete (QSLICE_REQUIRE_ALL=1: `qslice test` as root, CI) it fails instead.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import pytest

from scripts import capabilities

_NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "needs_root": (capabilities.is_root, "needs root"),
    "needs_ovs": (functools.cache(capabilities.has_openvswitch), "needs Open vSwitch running"),
    "needs_tun": (functools.cache(capabilities.has_tun), "needs TUN devices (root and /dev/net/tun)"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (is_here, reason) in _NEEDS.items():
        if item.get_closest_marker(marker) is None or is_here():
            continue
        if os.environ.get("QSLICE_REQUIRE_ALL") == "1":
            pytest.fail(f"{reason}, and QSLICE_REQUIRE_ALL=1 says that this machine is complete", pytrace=False)
        pytest.skip(reason)
