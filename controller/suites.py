"""The tunnels' cipher suites by name, and what of them concerns whoever asks for a slice.

What each is stands in ``kms/tunnel/suites.py``, which the controller does not import; a test compares the two.
"""

from __future__ import annotations

from typing import Literal, get_args

SuiteName = Literal[
    "aes-256-gcm", "aes-256-gcm-esn", "chacha20-poly1305", "chacha20-poly1305-esn", "aes-256-ctr-hmac-sha-256",
    "aes-256-ctr-hmac-sha-256-esn", "null-aes-256-gmac", "null-aes-256-gmac-esn",
]  # fmt: skip
SUITES: tuple[str, ...] = get_args(SuiteName)
DEFAULT_SUITE: SuiteName = "aes-256-gcm"


def hides(suite: str) -> bool:
    """Whether the traffic is encrypted, and not authenticated alone."""
    return not suite.startswith("null-")


def has_two_keys(suite: str) -> bool:
    """Whether encryption and authentication have keys from two keys of the KMS."""
    return "-ctr-hmac-" in suite
