"""The limits of key delivery, as a KME announces them (ETSI GS QKD 014, 6.1)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """What ETSI 014's Status object announces; sizes in bits."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key_size: int = 256
    min_key_size: Annotated[int, Field(ge=8)] = 64
    max_key_size: Annotated[int, Field(le=8192)] = 1024
    max_key_per_request: Annotated[int, Field(ge=1)] = 128
    max_key_count: Annotated[int, Field(ge=1)] = 128
    pool_target: Annotated[int, Field(ge=1)] = 32  # keys to which a pool is filled in the background
    max_sae_id_count: Annotated[int, Field(ge=0)] = 8
    max_awaiting_keys: Annotated[int, Field(ge=1)] = 100_000  # delivered to a master and not yet fetched, in all
    max_body_bytes: Annotated[int, Field(ge=256)] = 65_536
