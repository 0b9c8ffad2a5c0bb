"""Coherent one-way (COW), the protocol of the Clavis devices in UKQNtel: its rate as the devices count it. NOT SECURE.

Stucki et al., New J. Phys. 11, 075003 (2009): the sifted rate, less the reconciliation, less what Eve gets by
beam splitting and by the loss of visibility that is seen. That count leaves out the zero-error attack: against it the
secret rate can at best grow with the square of the transmittance, and the fielded variants give no proven secrecy at
the distances at which they are used (González-Payo et al., PRL 125, 260510 (2020), arXiv 2006.16891). So there is no
simulation of it here, its sections are always marked, and its rate is what such a device reports.
"""

from __future__ import annotations

import math

from kms.sources.qkd.bounds.entropy import binary_entropy
from kms.sources.qkd.link.channel import ChannelParameters

MEAN_PHOTONS = 0.5  # per bit
DECOY_SHARE = 0.1  # of the bits: both pulses full, for the monitoring line, no key
DATA_LINE = 0.9  # of the light at Bob; the rest watches the coherence
VISIBILITY = 0.98


def qber(channel: ChannelParameters) -> float:
    """Expected error rate: two time slots a bit, so a dark count is wrong half of the time."""
    signal = _signal(channel)
    detected = signal + channel.dark_count_probability
    return (channel.misalignment * signal + channel.dark_count_probability / 2) / detected if detected > 0 else 0.5


def rate_bps(channel: ChannelParameters, error_rate: float) -> float:
    """The secret bits per second that a device would report at an error rate; see above for why they are not."""
    per_bit = _signal(channel) + channel.dark_count_probability
    bits_per_second = channel.pulse_rate_hz / 2 * (1 - DECOY_SHARE)
    detected = per_bit * bits_per_second
    sifted = detected / (1 + detected * channel.dead_time_us * 1e-6)
    through = channel.fibre_transmittance
    seen = math.exp(-MEAN_PHOTONS * through)
    eve = MEAN_PHOTONS * (1 - through) + (1 - VISIBILITY) * (1 + seen) / (2 * seen)
    kept = 1 - channel.error_correction_efficiency * binary_entropy(error_rate) - eve
    return max(0.0, sifted * kept)


def _signal(channel: ChannelParameters) -> float:
    return -math.expm1(-MEAN_PHOTONS * channel.transmittance * DATA_LINE)
