"""A device's configuration file: parsed once, unknown fields refused."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.model.errors import ConfigError


class DeviceConfig(BaseModel):
    """Everything the process is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str
    host: str
    port: int = Field(default=830, ge=0, le=65535)  # RFC 6242, 3
    bridge_socket: Path
    """The bridge's management socket."""
    interfaces: dict[str, int]
    """OpenFlow port numbers by interface, the host's first."""
    host_key: Path
    """OpenSSH private key that the device shows."""
    authorized_keys: Path
    """Who may configure it, one public key a line, as OpenSSH writes them."""
    optical_switch: bool = False
    ethernet_s: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    """How long the site's Ethernet switch is said to need for an edit, on top of what it does need."""
    optical_s: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    """The same for its optical switch."""


def load_config(path: Path) -> DeviceConfig:
    """The configuration in ``path``. Raises ConfigError."""
    try:
        return DeviceConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
