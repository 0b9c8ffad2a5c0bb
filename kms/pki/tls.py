"""The TLS context of the KMS' listeners: mutual authentication, TLS 1.2 (RFC 5246) or later."""

from __future__ import annotations

import ssl
from pathlib import Path


def tls_context(cert: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, and no client without a certificate of ``ca`` that is meant for clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
