"""What an SAE ID of ETSI GS QKD 014 may look like with this KMS."""

from __future__ import annotations

import re

SAE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_sae_id(text: str) -> bool:
    """Whether ``text`` may be an SAE's id: letters, digits, dots, underscores, hyphens; no more than 64."""
    return SAE_ID.fullmatch(text) is not None
