"""The tunnels' cipher suites by name, and what of them concerns whoever asks for a slice.

What each is stands in ``kms/tunnel/packet/cipher_suites.py``, which the controller does not import; a test compares
the two.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

SuiteName = Literal[
    "aes-256-gcm", "aes-256-gcm-esn", "chacha20-poly1305", "chacha20-poly1305-esn", "aes-256-ctr-hmac-sha-256",
    "aes-256-ctr-hmac-sha-256-esn", "null-aes-256-gmac", "null-aes-256-gmac-esn",
]  # fmt: skip
SUITES: tuple[str, ...] = get_args(SuiteName)
DEFAULT_SUITE: SuiteName = "aes-256-gcm"

EXTENSION_SUITE = re.compile(r"x-[a-z0-9-]{1,38}")
"""Names of suites that are extensions: they hide, and take one key."""


def hides(suite: str) -> bool:
    """Whether the traffic is encrypted, and not authenticated alone."""
    return not suite.startswith("null-")


def has_two_keys(suite: str) -> bool:
    """Whether encryption and authentication have keys from two keys of the KMS."""
    return "-ctr-hmac-" in suite and not EXTENSION_SUITE.fullmatch(suite)


PaddingName = Literal["none", "mtu", "constant-rate"]
PADDINGS: tuple[str, ...] = get_args(PaddingName)
NO_PADDING: PaddingName = "none"
CONSTANT_RATE: PaddingName = "constant-rate"
MIN_PPS, MAX_PPS = 1, 20_000  # what an agent can do
_FRAME_BITS = 1518 * 8  # a full packet of the underlay, with Ethernet's header and the label
_SHARE_PERCENT = 95  # of the bandwidth; the rest is for rekeying and probes


def slots_per_s(bandwidth_kbps: int) -> int:
    """Full packets with which a constant rate fills a connection's bandwidth in one direction."""
    return min(MAX_PPS, bandwidth_kbps * 10 * _SHARE_PERCENT // _FRAME_BITS)


def bandwidths_mbps() -> tuple[float, float]:
    """Between which bandwidths a connection's rate can be constant."""
    least, most = (pps * _FRAME_BITS / (10_000 * _SHARE_PERCENT) for pps in (MIN_PPS, MAX_PPS + 1))
    return least, most
