"""A site's KME as a partner in key exchanges, from the configuration and the PKI directory."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509

from kms.config import KmsConfig, SiteConfig
from kms.errors import PkiError
from kms.keys.key import Source
from kms.pki import authority as pki
from kms.pki.kme_identity import KmeDirectory, KmeIdentity
from kms.pki.revocation import Revocations
from kms.qkdnet.qkd_network import QkdSource
from kms.sources.dh import DhSource
from kms.sources.exchange import Party
from kms.sources.kems import Kem
from kms.sources.qra import QraSource


def peer_directory(config: KmsConfig, site: SiteConfig) -> Path:
    """Where the certificate is by which the site's KME is known to the others; made if it is not there."""
    directory = Path(config.pki_dir) / "kme" / site.site / "peer"
    pki.issue_peer(config.pki_dir, site.kme_id, [site.host], directory)
    return directory


def party_of(config: KmsConfig, site: SiteConfig, kem: Kem, revocations: Revocations) -> Party:
    directory = peer_directory(config, site)
    try:
        authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{directory}: {error}") from error
    kme_ids = {each.site: each.kme_id for each in config.sites}
    return Party(
        site.site,
        {Source.DH: DhSource(config.dh_group), Source.QRA: QraSource(kem)},
        KmeIdentity.load(directory, config.kme_signature),
        KmeDirectory(authority, kme_ids, config.kme_signature, revocations.is_revoked),
        os.urandom,
    )


def algorithms_of(config: KmsConfig, party: Party) -> dict[str, str]:
    """What does what in this KMS, for the operator."""
    exchanged = {source.value: mechanism.algorithm for source, mechanism in party.mechanisms.items()}
    return {Source.QKD.value: QkdSource.algorithm, **exchanged, "signature": config.kme_signature}
