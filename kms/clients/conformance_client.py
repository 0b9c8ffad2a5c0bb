"""Puts the conformance check's questions to a real KME over HTTPS, and takes whatever comes back as an outcome."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from cryptography import x509
from cryptography.x509.oid import NameOID

from kms.conformance.exchange import Answer, Failure, Handshake, Identities, Outcome, Question, Role, Silence
from kms.conformance.interview import interview
from kms.conformance.report import Report, judge
from kms.errors import PkiError

BASE_PATH = "/api/v1/keys"
MAX_BODY_BYTES = 1 << 20
_WRONG_NAME = (62, 63, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_, _IP_ADDRESS_


@dataclass(frozen=True)
class Credentials:
    """PEM files: an SAE's certificate and key, and the authority that its KME is certified by."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class Access:
    """A KME as one SAE reaches it: its base URL, ``https://HOST[:PORT]``, and what the SAE shows there."""

    url: str
    credentials: Credentials


async def check(
    master: Access, slave_sae: str, slave: Access | None, unknown_id: str, timeout_s: float
) -> Report:  # fmt: skip
    """Interview the master's KME, and the slave's for twins. ``timeout_s`` is for each answer.

    PkiError when a certificate or key file cannot be used.
    """
    contexts = {Role.MASTER: _context(master.credentials), Role.NOBODY: _context(master.credentials, bare=True)}
    urls = {Role.MASTER: base_url(master.url), Role.NOBODY: base_url(master.url)}
    if slave is not None:
        contexts[Role.SLAVE], urls[Role.SLAVE] = _context(slave.credentials), base_url(slave.url)
    identities = Identities(sae_id_of(master.credentials.cert), slave_sae, slave is not None)
    handshake = await _handshake(urls[Role.MASTER], contexts[Role.MASTER], timeout_s)
    talk = interview(identities, handshake, unknown_id)
    async with AsyncExitStack() as stack:
        sessions = {
            role: await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=timeout_s)
                )
            )
            for role, context in contexts.items()
        }
        try:
            question = next(talk)
            while True:
                question = talk.send(await _ask(question, sessions, urls))
        except StopIteration as done:
            return judge(urls[Role.MASTER], done.value)


def base_url(url: str) -> str:
    """Without the API's own path, which people paste along. ValueError when it is no https URL."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no https://HOST[:PORT]")
    _ = parts.port  # ValueError when it is no number of a port
    return url.rstrip("/").removesuffix(BASE_PATH)


def sae_id_of(cert: Path) -> str:
    """The common name in a certificate: the id that a KME knows its holder by. PkiError when there is not one."""
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{cert}: {error}") from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise PkiError(f"{cert}: it has not one common name")
    return names[0].value


def _context(credentials: Credentials, bare: bool = False) -> ssl.SSLContext:
    """Of a client that trusts the authority alone; ``bare``: without a certificate of its own."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(credentials.ca))
        # A KME that offers older ones alone is to be found out, not to be a connection that does not come about.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        if not bare:
            # A key under a passphrase is refused: what asks for one would wait at a terminal that nobody watches.
            context.load_cert_chain(credentials.cert, credentials.key, password=_no_passphrase)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise PkiError(f"{credentials.cert}, {credentials.key}, {credentials.ca}: {error}") from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is under a passphrase: give one that is not (mode 0600)")


async def _handshake(url: str, context: ssl.SSLContext, timeout_s: float) -> Handshake | Silence:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
    except (OSError, TimeoutError) as error:
        return _silence(error, timeout_s)
    version = writer.get_extra_info("ssl_object").version() or "unknown"
    writer.close()
    return Handshake(version)


async def _ask(
    question: Question, sessions: Mapping[Role, aiohttp.ClientSession], urls: Mapping[Role, str]
) -> Outcome:  # fmt: skip
    session, began = sessions[question.role], time.monotonic()
    headers = {} if question.body is None else {"Content-Type": "application/json"}
    url = f"{urls[question.role]}{BASE_PATH}/{question.path}"
    try:
        async with session.request(
            question.verb, url, data=question.body, headers=headers, allow_redirects=False
        ) as response:  # fmt: skip
            body = bytearray()
            async for piece in response.content.iter_chunked(1 << 16):
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    return Silence(Failure.TOO_LARGE, f"more than {MAX_BODY_BYTES} octets")
            content_type = response.headers.get("Content-Type", "")
            return Answer(response.status, content_type, bytes(body), time.monotonic() - began)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return _silence(error, session.timeout.total or 0.0)


def _silence(error: BaseException, timeout_s: float) -> Silence:
    """What went wrong, from how the libraries say it."""
    causes = [error, *(each for each in (error.__cause__, getattr(error, "os_error", None)) if each is not None)]
    inner = getattr(error, "certificate_error", None)
    for each in (inner, *causes):
        if isinstance(each, ssl.SSLCertVerificationError):
            kind = Failure.WRONG_NAME if each.verify_code in _WRONG_NAME else Failure.UNTRUSTED
            return Silence(kind, str(each.verify_message))
    if any(isinstance(each, TimeoutError) for each in causes):
        return Silence(Failure.TIMEOUT, f"nothing within {timeout_s:g} s")
    if any(isinstance(each, ssl.SSLError) for each in causes):
        return Silence(Failure.TLS_REFUSED, str(error)[:200])
    if isinstance(error, aiohttp.ClientConnectorError) or not isinstance(error, aiohttp.ClientError):
        return Silence(Failure.UNREACHABLE, str(error)[:200])
    return Silence(Failure.TORN, f"{type(error).__name__}: {error}"[:200])
