"""What key sources and models of QKD sections are given and answer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SourceOffer:
    """The first message of an exchange, and what its maker needs to finish it. Both in hexadecimal digits."""

    message: str
    state: str = field(repr=False)


@dataclass(frozen=True)
class SourceAnswer:
    """The second message, and the secret that both ends then have: 32 to 64 octets. Both in hexadecimal digits."""

    message: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class LineView:
    """A QKD section's fibre and devices: docs/reference/topology-file.md says what each field means."""

    id: str
    a: str
    b: str
    protocol: str
    length_km: float
    attenuation_db_per_km: float
    pulse_rate_hz: float
    detector_efficiency: float
    dark_count_probability: float
    misalignment: float
    afterpulse_probability: float
    dead_time_us: float
    error_correction_efficiency: float
    abort_qber: float


@dataclass(frozen=True)
class AttackView:
    """``intercept-resend``, ``photon-number-splitting`` or ``beam-splitting`` of so large a share of the pulses."""

    kind: str
    fraction: float


@dataclass(frozen=True)
class Forecast:
    """What a section will give: secret bits per second, and the error rate that its ends will see."""

    secret_bps: float
    qber: float


@dataclass(frozen=True)
class Block:
    """What a step made: each end's secret octets in hexadecimal digits, disclosed bits, and errors among these."""

    alice: str = field(repr=False)
    bob: str = field(repr=False)
    sample_bits: int
    errors: int
