"""A QKD section that gives the same rate on any fibre. A model for experiments that want it so: NOT SECURE.

There are no photons, no loss and no proof. Of attacks it shows intercept and resend alone, by its errors.
"""

from __future__ import annotations

from scripts.extensions.api import EXTENSION_API, AttackView, Block, Forecast, LineView

RATE_BPS = 2_000.0
DISCLOSED_BPS = 10_000.0


class IdealLink:
    """RATE_BPS secret bits per second, or as many as there are pulses."""

    name = "ideal-link"
    version = "1.0"
    api = EXTENSION_API

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        qber = attack.fraction / 4 if attack.kind == "intercept-resend" else 0.0
        self._disclosed_bps = min(DISCLOSED_BPS, line.pulse_rate_hz)
        self._forecast = Forecast(min(RATE_BPS, line.pulse_rate_hz), qber)
        return self._forecast

    def step(self, dt_s: float, entropy: str) -> Block:
        digits = entropy[: 2 * (int(self._forecast.secret_bps * dt_s) // 8)]
        disclosed = int(self._disclosed_bps * dt_s)
        return Block(digits, digits, disclosed, round(disclosed * self._forecast.qber))
