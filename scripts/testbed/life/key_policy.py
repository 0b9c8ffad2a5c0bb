"""Whether this machine has what the operator's policy for keys names: looked at before anything is started."""

from __future__ import annotations

from kms.errors import ConfigError
from kms.sources.kems import choose_kem
from scripts.configuration.values import Configuration, Source
from scripts.errors import WrongRequest

KEM = "kms.qra_kem"


def require_kem(configuration: Configuration) -> None:
    """Raises WrongRequest with what there is where the KEM is not here: nothing else is taken in its place."""
    entry = configuration.entry(KEM)
    if entry.origin.source is Source.DEFAULT:
        return
    try:
        choose_kem(entry.value)
    except ConfigError as error:
        raise WrongRequest(f"{entry.origin}: {KEM}: {error.reason}") from error
