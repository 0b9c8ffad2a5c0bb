"""The limits of key delivery: those that a KME announces (ETSI GS QKD 014, 6.1), and those of an SAE's streams."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What ETSI 014's Status object announces; sizes in bits. :class:`kms.config.LimitsConfig` has their bounds."""

    key_size: int = 256
    min_key_size: int = 64
    max_key_size: int = 1024
    max_key_per_request: int = 128
    max_key_count: int = 128
    pool_target: int = 32  # keys to which a pool is filled in the background
    max_sae_id_count: int = 8
    max_awaiting_keys: int = 100_000  # delivered to a master and not yet fetched, in all
    max_awaiting_bits: int = 100_000 * 256
    awaiting_share_of_sae: float = 0.25  # of those, what the keys of one master may be
    awaiting_share_of_pair: float = 0.125  # and those of one master for one slave
    awaiting_share_booked: float = 0.25  # what only booked applications may use
    max_body_bytes: int = 65_536


@dataclass(frozen=True)
class StreamTerms:
    """What the operator grants an SAE for the key streams (ETSI GS QKD 004) that it opens.

    No higher ``priority``, which without a grant is that of whoever has no application, and so many at a time.
    """

    priority: int = 0
    max_streams: int = 64
