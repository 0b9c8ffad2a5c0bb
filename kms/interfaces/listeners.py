"""The KMEs' listeners: one per site, each of which can be stopped and started while the others serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from kms.config import KmsConfig
from kms.interfaces.etsi014 import KEEP_ALIVE_S, SHUTDOWN_S, Etsi014Server
from kms.pki import authority
from kms.pki.tls import tls_context

_log = logging.getLogger(__name__)


class KmeListeners:
    """Who listens where. A site whose KME is stopped refuses connections, and those that it had are closed.

    What the KME holds stays: its keys are in the store of the whole KMS, as those of a real one are on its disk.
    """

    def __init__(self, config: KmsConfig, kmes: Mapping[str, Etsi014Server]) -> None:
        self._config = config
        self._sites = {site.site: site for site in config.sites}
        self._kmes = dict(kmes)
        self._runners: dict[str, web.AppRunner] = {}
        self._ports = {site.site: site.port for site in config.sites}
        self._changing = asyncio.Lock()
        self.urls: dict[str, str] = {}

    def is_listening(self, site: str) -> bool:
        return site in self._runners

    def has_site(self, site: str) -> bool:
        return site in self._sites

    async def start(self, site: str) -> bool:
        """Listen; False when it does already. OSError when the address cannot be listened on."""
        async with self._changing:
            if site in self._runners:
                return False
            entry, config = self._sites[site], self._config
            directory = Path(config.pki_dir) / "kme" / site
            authority.issue_kme(config.pki_dir, entry.kme_id, [entry.host], directory)
            tls = tls_context(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")
            runner = await make_runner(self._kmes[site].application())
            try:
                await web.TCPSite(runner, entry.host, self._ports[site], ssl_context=tls, backlog=1024).start()
            except OSError:
                await runner.cleanup()
                raise
            self._runners[site] = runner
            self._ports[site] = runner.addresses[0][1]  # of a port chosen by the kernel: the same next time
            host = f"[{entry.host}]" if ":" in entry.host else entry.host
            self.urls[site] = f"https://{host}:{self._ports[site]}"
            return True

    async def stop(self, site: str) -> bool:
        """End the listener and its connections; False when there is none."""
        async with self._changing:
            runner = self._runners.pop(site, None)
            if runner is None:
                return False
            await runner.cleanup()
            _log.warning("the KME of %s is stopped", site)
            return True

    async def close(self) -> None:
        """Stop all of them."""
        for site in list(self._runners):
            await self.stop(site)


async def make_runner(app: web.Application) -> web.AppRunner:
    """A runner that is set up; who asked for it cleans it up."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    return runner
