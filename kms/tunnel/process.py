"""The process of one host's agent, or of one site's shelf: it serves its control socket until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import ssl
from pathlib import Path

from kms.clients.etsi014_client import Kme014Client
from kms.clients.few_connections import keep_buffers_small
from kms.log_lines import configure_logging
from kms.tunnel.agent.agent import Agent
from kms.tunnel.agent.agent_requests import AgentRequests
from kms.tunnel.agent.control_server import ControlServer
from kms.tunnel.agent.extension_suite import suites_of
from kms.tunnel.agent.kme_client import KeyClient, KmeKeys
from kms.tunnel.agent.vendor_keys import VendorKeys
from kms.tunnel.cards.config import ShelfConfig, is_shelf_file, load_shelf_config
from kms.tunnel.cards.shelf import Shelf
from kms.tunnel.config import AgentConfig, VendorConfig, load_agent_config
from kms.tunnel.errors import ConfigurationError, TunnelError

EXIT_WRONG_REQUEST = 2
EXIT_ENVIRONMENT = 3

logger = logging.getLogger("kms.tunnel")


def run_agent(config: Path, level: int = logging.INFO) -> int:
    """Serve to the end; the exit status. Certificates and their keys are read here, by this process alone."""
    configure_logging(level)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    _allow_many_descriptors()
    keep_buffers_small()
    try:
        if is_shelf_file(config):
            asyncio.run(_serve_shelf(load_shelf_config(config)))
        else:
            asyncio.run(_serve(load_agent_config(config)))
    except ConfigurationError as error:
        logger.error("%s", error)
        return EXIT_WRONG_REQUEST
    except TunnelError as error:
        logger.error("%s", error)
        return EXIT_ENVIRONMENT
    return 0


def _allow_many_descriptors() -> None:
    """As many as the system lets us have: a connection takes up to four, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(config: AgentConfig) -> None:
    suites = suites_of(config)
    stop = _stop_on_signals()
    async with contextlib.AsyncExitStack() as cleanup:
        agent = Agent(config, _keys(config, cleanup), suites)
        cleanup.push_async_callback(agent.close)
        server = ControlServer(AgentRequests(agent), config.control_socket)
        agent.start()
        cleanup.push_async_callback(server.close)
        await server.start()
        logger.info("agent of %s listens on %s", config.host, config.control_socket)
        await stop.wait()
        logger.info("agent of %s stops", config.host)


async def _serve_shelf(config: ShelfConfig) -> None:
    stop = _stop_on_signals()
    async with contextlib.AsyncExitStack() as cleanup:
        shelf = Shelf(config, _keys(config, cleanup))
        cleanup.push_async_callback(shelf.close)
        server = ControlServer(shelf, config.control_socket)
        shelf.start()
        cleanup.push_async_callback(server.close)
        await server.start()
        logger.info("shelf of %s, with %d cards, listens on %s", config.shelf, len(config.cards), config.control_socket)
        await stop.wait()
        logger.info("shelf of %s stops", config.shelf)


def _keys(config: AgentConfig | ShelfConfig, cleanup: contextlib.AsyncExitStack) -> KeyClient:
    """Where keys come from, closed with ``cleanup``."""
    client = _client(config)
    cleanup.push_async_callback(client.close)
    keys = KmeKeys(client)
    if config.vendor is None:
        return keys
    vendor = _vendor_client(config.vendor)
    cleanup.push_async_callback(vendor.close)
    return VendorKeys(keys, KmeKeys(vendor), config.vendor.peers)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _client(config: AgentConfig | ShelfConfig) -> Kme014Client:
    try:
        return Kme014Client(config.kme_url, config.cert, config.key, config.ca)
    except (OSError, ssl.SSLError) as error:
        files = f"{config.cert}, {config.key}, {config.ca}"
        raise ConfigurationError("cert, key, ca", f"cannot be used ({files}): {error}") from error


def _vendor_client(config: VendorConfig) -> Kme014Client:
    try:
        return Kme014Client(config.url, config.cert, config.key, config.ca, through=config.socket)
    except (OSError, ssl.SSLError) as error:
        files = f"{config.cert}, {config.key}, {config.ca}"
        raise ConfigurationError("vendor: cert, key, ca", f"cannot be used ({files}): {error}") from error
