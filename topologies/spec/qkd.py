"""QKD sections (quantum channels) and QKD links (key transport over sections in a row)."""

from __future__ import annotations

from dataclasses import dataclass

from topologies.spec.errors import TopologyError
from topologies.spec.numbers import require_numbers

QKD_MODELS = (("bb84", "full"), ("bb84", "rate"), ("cow", "rate"))


@dataclass(frozen=True)
class QkdSection:
    """One quantum channel between two QKD nodes (sites' QKD rooms or trusted nodes).

    ``afterpulse_probability`` is that of a false detection after a detection and its dead time; ``model`` whether the
    key service simulates every step ("full") or follows the analytic rate ("rate"); ``protocol`` "bb84" or "cow".
    ``restart_s`` is how long it makes no key after a fault, an eavesdropper or the return of a node (paper 002, section
    2: "lengthy restartup times that are often incurred with QKD systems").
    ``risk_groups`` names everything whose failure takes the section down: the fibre that it shares with channels.
    """

    id: str
    a: str
    b: str
    length_km: float
    attenuation_db_per_km: float = 0.2
    pulse_rate_hz: float = 10_000_000.0
    detector_efficiency: float = 0.2
    dark_count_probability: float = 1e-6  # per gate, both detectors together
    misalignment: float = 0.015
    afterpulse_probability: float = 0.005
    dead_time_us: float = 1.0
    error_correction_efficiency: float = 1.16  # f: disclosed bits over Shannon's limit, for forecasts
    abort_qber: float = 0.11
    protocol: str = "bb84"
    model: str = "full"
    restart_s: float = 0.0
    risk_groups: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise TopologyError(f"section {self.id}: both ends are {self.a}")
        require_numbers(
            f"section {self.id}", self, "length_km", "attenuation_db_per_km", "pulse_rate_hz", "detector_efficiency",
            "dark_count_probability", "misalignment", "afterpulse_probability", "dead_time_us",
            "error_correction_efficiency", "abort_qber", "restart_s",
        )  # fmt: skip
        for name in ("length_km", "attenuation_db_per_km", "dead_time_us", "restart_s"):
            if not getattr(self, name) >= 0:
                raise TopologyError(f"section {self.id}: {name} must not be negative")
        for name in ("dark_count_probability", "misalignment", "afterpulse_probability"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise TopologyError(f"section {self.id}: {name} must lie in [0, 0.5]")
        if not 0 < self.detector_efficiency <= 1:
            raise TopologyError(f"section {self.id}: detector_efficiency must be in (0, 1]")
        if not 0 < self.pulse_rate_hz <= 1e12:
            raise TopologyError(f"section {self.id}: pulse_rate_hz must be positive and at most 1e12")
        if not 1 <= self.error_correction_efficiency <= 2:
            raise TopologyError(f"section {self.id}: error_correction_efficiency must lie in [1, 2]")
        if not 0 < self.abort_qber <= 0.11:
            raise TopologyError(f"section {self.id}: abort_qber must lie in (0, 0.11]")
        if (self.protocol, self.model) not in QKD_MODELS:
            raise TopologyError(
                f"section {self.id}: protocol and model must be bb84 with full or rate, or cow with rate, "
                f"not {self.protocol} with {self.model}"
            )


@dataclass(frozen=True)
class QkdLink:
    """Key transport between two sites over sections in a row; the nodes between them are trusted."""

    id: str
    a: str
    b: str
    sections: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.sections:
            raise TopologyError(f"QKD link {self.id}: it needs at least one section")
