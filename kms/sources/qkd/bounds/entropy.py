"""Shannon's binary entropy, the measure of every rate here."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def binary_entropy(p: float) -> float:
    """h(p) in bits; 1 from p = 1/2 on, because a bound above that means that nothing is known."""
    return float(binary_entropies(p))


def binary_entropies(p: ArrayLike) -> NDArray[np.float64]:
    """:func:`binary_entropy` of every element."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), 0.0, 0.5)
    inner = np.where(clipped > 0, clipped, 0.5)  # keeps log2 from zero; replaced below
    entropy = -inner * np.log2(inner) - (1 - inner) * np.log2(1 - inner)
    return np.where(clipped > 0, entropy, 0.0)
