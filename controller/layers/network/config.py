"""The controller layer's configuration file: parsed once, unknown fields refused."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.model.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceAddress(_Section):
    """Where a device is, and the host key that it must show."""

    host: str
    port: int = Field(default=830, ge=1, le=65535)
    host_key: str
    """The public key in base64, as OpenSSH writes it."""


class NetworkConfig(_Section):
    """Everything the process is told."""

    host: str
    port: int = Field(ge=0, le=65535)
    token_file: Path
    """The bearer token of whoever may configure devices; made when there is none."""
    client_key: Path
    """OpenSSH private key that devices know."""
    devices: dict[str, DeviceAddress]


def load_config(path: Path) -> NetworkConfig:
    """The configuration in ``path``. Raises ConfigError."""
    try:
        return NetworkConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
