"""Numbers of a topology: finite, and of their kind."""

from __future__ import annotations

import math

from topologies.spec.errors import TopologyError


def require_numbers(element: str, values: object, *names: str) -> None:
    """TopologyError that names the element and the field where an attribute of ``values`` is no finite number."""
    for name in names:
        value = getattr(values, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            raise TopologyError(f"{element}: {name} must be a finite number, not {value!r}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number larger than any float
        return False


def require_whole_numbers(element: str, values: object, *names: str) -> None:
    """The same for what is counted."""
    for name in names:
        value = getattr(values, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TopologyError(f"{element}: {name} must be a whole number, not {value!r}")
