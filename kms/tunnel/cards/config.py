"""What a shelf is told, parsed once at the edge."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kms.tunnel.config import Interface, Name, ProbePeriod, VendorConfig
from kms.tunnel.errors import ConfigurationError
from kms.tunnel.packet.ethernet import CARDS, MAX_CIRCUIT

SHELF = "shelf"
"""The field that a host's agent has not."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClientConfig(_Frozen):
    """A circuit's port at this card: a persistent TAP device of the shelf's own network namespace."""

    circuit: Annotated[int, Field(gt=CARDS, le=MAX_CIRCUIT)]
    channel: Name
    interface: Interface


class LineConfig(_Frozen):
    """This card's end of the line: an interface in a network namespace of its own."""

    namespace: Path
    interface: Interface
    address: IPv4Address
    peer: IPv4Address
    port: Annotated[int, Field(ge=1, le=65535)] = 4500


class CardConfig(_Frozen):
    """One card of two that share a key."""

    wavelength: Name
    role: Literal["initiator", "responder"]
    key_source: Name
    peer_sae: Name
    line: LineConfig
    clients: Annotated[tuple[ClientConfig, ...], Field(min_length=1)]


class ShelfConfig(_Frozen):
    """All cards of a site."""

    shelf: Name
    sae_id: Name
    control_socket: Path
    kme_url: Annotated[str, Field(pattern=r"^https://")]
    cert: Path
    key: Path
    ca: Path
    cards: tuple[CardConfig, ...]
    rekey_s: Annotated[float, Field(ge=0.05, le=86400.0, allow_inf_nan=False)] = 3.0
    lifetime_s: Annotated[float, Field(ge=0.1, le=86400.0, allow_inf_nan=False)] = 60.0
    """How long a key may seal that no other one has followed; then the clients lose their carrier."""
    probe_s: ProbePeriod = 0.5
    vendor: VendorConfig | None = None
    """Whose keys of QKD are used instead of the own KME's."""
    unsafe_keylog: Path | None = None


class ReportRequest(_Frozen):
    """stats, list or metrics: of all cards."""

    id: int | str
    op: Literal["stats", "list", "metrics"]


class WatchRequest(_Frozen):
    """Answered as soon as something has changed after ``since`` (the token of an earlier answer)."""

    id: int | str
    op: Literal["watch"]
    since: Annotated[str, Field(max_length=100)] | None = None
    timeout_s: Annotated[float, Field(ge=0.0, le=3600.0, allow_inf_nan=False)] = 10.0


Request = ReportRequest | WatchRequest
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="op")])


def is_shelf_file(path: Path) -> bool:
    """Whether a configuration is a shelf's; False, too, for what cannot be read: whose it is its reader says."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and SHELF in raw


def load_shelf_config(path: Path) -> ShelfConfig:
    """ConfigurationError names the field."""
    try:
        config = ShelfConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError("--config", f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise _wrong(error) from None
    if config.lifetime_s < config.rekey_s:
        raise ConfigurationError("lifetime_s", "shorter than rekey_s: every key would end before the next")
    interfaces = [client.interface for card in config.cards for client in card.clients]
    if len(set(interfaces)) < len(interfaces):
        raise ConfigurationError("cards", "an interface is two clients' at once")
    return config


def parse_request(raw: dict[str, Any]) -> Request:
    """ConfigurationError names the field. What cards do is the network's to say: nothing is changed by request."""
    try:
        return _REQUEST.validate_python(raw)
    except ValidationError as error:
        raise _wrong(error, skip=1) from None


def _wrong(error: ValidationError, skip: int = 0) -> ConfigurationError:
    first = error.errors(include_url=False, include_input=False)[0]
    return ConfigurationError(".".join(map(str, first["loc"][skip:])) or "op", first["msg"])
