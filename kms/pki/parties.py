"""A site's KME as a partner in key exchanges, from the PKI directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from kms.errors import PkiError
from kms.keys.key import Source
from kms.pki import authority as pki
from kms.pki.kme_identity import KmeDirectory, KmeIdentity
from kms.pki.revocation import Revocations
from kms.sources.agreement import Mechanism
from kms.sources.exchange import Party


def issue_peer_certificate(pki_dir: Path | str, site: str, kme_id: str, host: str) -> Path:
    """Where the certificate is by which the site's KME is known to the others; made if it is not there."""
    directory = Path(pki_dir) / "kme" / site / "peer"
    pki.issue_peer(pki_dir, kme_id, [host], directory)
    return directory


def load_party(
    directory: Path, site: str, kme_ids: Mapping[str, str], mechanisms: Mapping[Source, Mechanism], signature: str,
    revocations: Revocations,
) -> Party:  # fmt: skip
    """The party of ``site``, whose certificate is in ``directory``; ``kme_ids`` names all KMEs by their sites."""
    try:
        authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{directory}: {error}") from error
    return Party(
        site,
        dict(mechanisms),
        KmeIdentity.load(directory, signature),
        KmeDirectory(authority, kme_ids, signature, revocations.is_revoked),
        os.urandom,
    )
