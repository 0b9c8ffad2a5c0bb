"""Padding of tunnels against traffic analysis (RFC 4303, 2.6 and 2.7), as far as it concerns who asks for a slice.

What each kind is stands in ``kms/tunnel/padding.py``, which the controller does not import; a test compares the two.
"""

from __future__ import annotations

from typing import Literal, get_args

PaddingName = Literal["none", "mtu", "constant-rate"]
PADDINGS: tuple[str, ...] = get_args(PaddingName)
NO_PADDING: PaddingName = "none"
CONSTANT_RATE: PaddingName = "constant-rate"

MIN_PPS, MAX_PPS = 1, 20_000  # what an agent can do
_FRAME_BITS = 1518 * 8  # a full packet of the underlay, with Ethernet's header and the label
_SHARE_PERCENT = 95  # of the bandwidth; the rest is for rekeying and probes


def slots_per_s(bandwidth_kbps: int) -> int:
    """Full packets each way with which a constant rate fills a connection's bandwidth."""
    return min(MAX_PPS, bandwidth_kbps * 10 * _SHARE_PERCENT // _FRAME_BITS)


def bandwidths_mbps() -> tuple[float, float]:
    """Between which bandwidths a connection's rate can be constant."""
    least, most = (pps * _FRAME_BITS / (10_000 * _SHARE_PERCENT) for pps in (MIN_PPS, MAX_PPS + 1))
    return least, most
