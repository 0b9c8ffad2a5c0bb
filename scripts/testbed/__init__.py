"""A run of the whole system on one machine: its processes, its record, its faults, its clean-up.

:class:`Testbed` is what scripts, tests and notebooks import (docs/how-to/python.md). It is built on measurements too,
which stand above this package, and is loaded when it is asked for: the commands need none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.automation.testbed import Testbed

__all__ = ["Testbed"]


def __getattr__(name: str) -> object:
    if name == "Testbed":
        from scripts.automation.testbed import Testbed

        return Testbed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
