"""A small real KME pair: ETSI 014 enc_keys and dec_keys over mutual TLS, each key delivered once to each end.

``python -m tests.support.fake_kme DIRECTORY ADDRESS...`` serves on port 8443 of each address with the certificates that
:func:`make_pki` left in the directory.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import os
import ssl
import sys
import uuid
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PORT = 8443


def make_pki(directory: Path, *, addresses: list[str], saes: list[str]) -> None:
    """``ca.pem``, ``kme.pem`` and ``kme.key``, and for each SAE ``NAME.pem`` and ``NAME.key``."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    _issue(directory, "ca", ca_key, ca_name, ca_key, ca_name, x509.BasicConstraints(ca=True, path_length=0))
    for name in ("kme", *saes):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names: x509.ExtensionType = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses] if name == "kme" else [x509.DNSName(name)]
        )
        _issue(directory, name, key, subject, ca_key, ca_name, names)


def _issue(
    directory: Path,
    name: str,
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    ca_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    extension: x509.ExtensionType,
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(ca_key, hashes.SHA256())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _sae_of(request: web.Request) -> str:
    assert request.transport is not None
    certificate: Any = request.transport.get_extra_info("peercert")
    return str(dict(pair for group in certificate["subject"] for pair in group)["commonName"])


def make_app() -> web.Application:
    """Keys by (master, slave, id)."""
    held: dict[tuple[str, str, str], str] = {}

    async def enc_keys(request: web.Request) -> web.Response:
        keys = []
        for _ in range((await request.json())["number"]):
            key_id, key = str(uuid.uuid4()), base64.b64encode(os.urandom(32)).decode()
            held[_sae_of(request), request.match_info["sae"], key_id] = key
            keys.append({"key_ID": key_id, "key": key})
        return web.json_response({"keys": keys})

    async def dec_keys(request: web.Request) -> web.Response:
        key_ids = [entry["key_ID"] for entry in (await request.json())["key_IDs"]]
        names = [(request.match_info["sae"], _sae_of(request), key_id) for key_id in key_ids]
        if any(name not in held for name in names):
            return web.json_response({"message": "one or more keys specified are not found on KME"}, status=400)
        return web.json_response({"keys": [{"key_ID": name[2], "key": held.pop(name)} for name in names]})

    app = web.Application()
    app.router.add_post("/api/v1/keys/{sae}/enc_keys", enc_keys)
    app.router.add_post("/api/v1/keys/{sae}/dec_keys", dec_keys)
    return app


async def _serve(directory: Path, addresses: list[str]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(directory / "ca.pem"))
    tls.load_cert_chain(directory / "kme.pem", directory / "kme.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(make_app())
    await runner.setup()
    for address in addresses:
        await web.TCPSite(runner, address, PORT, ssl_context=tls, shutdown_timeout=0.1).start()
    (directory / "kme.ready").touch()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2:]))
