"""HTTPS through a Unix socket whose listener passes everything on: TLS ends at the far server, under its own name."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp

from kms.clients.few_connections import LatestFirst


class TlsUnixConnector(LatestFirst, aiohttp.UnixConnector):
    """aiohttp's own connector speaks plain HTTP there, whatever the URL says. This one never does."""

    def __init__(self, path: str, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(path, **options)
        self._tls = tls

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        try:
            _, protocol = await self._loop.create_unix_connection(
                self._factory, self.path, ssl=self._tls, server_hostname=req.connection_key.host
            )
        except ssl.CertificateError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol
