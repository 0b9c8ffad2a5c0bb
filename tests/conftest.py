"""What a test needs of the machine is probed, once. A test that lacks it is skipped with the reason; where set-up has
just made the environment complete (QSLICE_REQUIRE_ALL=1: `qslice test` as root, CI) it fails instead.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from scripts.setup import capabilities

# A busy machine is slow: hypothesis judges what code does, not how long that takes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "needs_root": (capabilities.is_root, "needs root"),
    "needs_ovs": (functools.cache(capabilities.has_openvswitch), "needs Open vSwitch running"),
    "needs_tun": (functools.cache(capabilities.has_tun), "needs TUN devices (root and /dev/net/tun)"),
}

# A kernel is nothing that set-up could install: lacking it is a failure only where a guest was made to have it.
_KERNEL_NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "needs_kernel_datapath": (
        functools.cache(
            lambda: capabilities.has_kernel_datapath() and capabilities.has_netem() and capabilities.has_xfrm_esp()
        ),
        "needs a kernel with Open vSwitch's datapath, netem and ESP; `qslice test --vm` brings one",
    ),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "outer_machine: wants what a lane's own machine has not, such as a way out")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for needs, variable in ((_NEEDS, "QSLICE_REQUIRE_ALL"), (_KERNEL_NEEDS, "QSLICE_REQUIRE_KERNEL")):
        for marker, (is_here, reason) in needs.items():
            if item.get_closest_marker(marker) is None or is_here():
                continue
            if os.environ.get(variable) == "1":
                pytest.fail(f"{reason}, and {variable}=1 says that this machine is complete", pytrace=False)
            pytest.skip(reason)


def _require_marks_in_words(items: list[pytest.Item]) -> None:
    """A lane passes over files that do not name what a machine can lack (scripts/checks/lanes): a test marked from
    elsewhere would run in none."""
    names = (*_NEEDS, *_KERNEL_NEEDS)
    marked = {item.path for item in items if any(item.get_closest_marker(name) for name in names)}
    for path in marked:
        text = path.read_text(encoding="utf-8")
        if not any(name in text for name in names):
            raise pytest.UsageError(f"{path}: its tests need a machine; write there the mark that says so ({names[0]})")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that count packets come last: by then `qslice test` has less running beside them. A machine that is itself
    a guest is at times not run for a while, and loses some: they get one more try. Losing is our fault when it comes
    again; what only came once is still printed.

    A report of the guest's tests says in words what each of them proves: what its docstring begins with.
    """
    _require_marks_in_words(items)
    items.sort(key=lambda item: item.get_closest_marker("counts_packets") is not None)
    for item in items:
        if item.get_closest_marker("counts_packets") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if item.get_closest_marker("needs_kernel_datapath") is not None and isinstance(item, pytest.Function):
            words = (item.function.__doc__ or "").strip().partition("\n\n")[0]
            variant = f" [{item.callspec.id}]" if hasattr(item, "callspec") else ""
            if words:
                item.user_properties.append(("proves", " ".join(words.split()).rstrip(".") + variant))
