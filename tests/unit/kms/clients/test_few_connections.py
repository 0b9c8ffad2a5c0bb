"""How many connections a client has, told by a server that sees them."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from kms.clients.few_connections import BUFFER_BYTES, KmeConnector, keep_buffers_small
from tests.support.wait import PATIENCE

AT_ONCE = 6


class Server:
    """Answers when it is told to; knows its connections by the clients' ports."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.ports: list[int] = []
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.asked += 1
        self.ports.append(request.transport.get_extra_info("peername")[1])
        await self.may_answer.wait()
        return web.Response(text="yes")

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            self.may_answer.set()
            await runner.cleanup()


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        await response.text()


async def _together(session: aiohttp.ClientSession, server: Server, url: str, number: int, seen: int) -> None:
    """So many requests at the same time; ``seen`` of them reach the server before the first is answered."""
    server.may_answer.clear()
    before = server.asked
    asking = [asyncio.create_task(_ask(session, url)) for _ in range(number)]
    async with asyncio.timeout(10 * PATIENCE):
        while server.asked < before + seen:
            await asyncio.sleep(0.005)
        server.may_answer.set()
        await asyncio.gather(*asking)


def test_requests_one_after_the_other_take_one_connection_though_others_are_idle() -> None:
    async def run() -> None:
        server = Server()
        async with server.serve() as url, aiohttp.ClientSession(connector=KmeConnector()) as session:
            await _together(session, server, url, AT_ONCE, AT_ONCE)
            assert len(set(server.ports)) == AT_ONCE
            server.ports.clear()
            for _ in range(3 * AT_ONCE):
                await _ask(session, url)
            assert len(set(server.ports)) == 1

    asyncio.run(run())


def test_connections_that_were_wanted_once_are_closed_while_the_used_one_stays() -> None:
    async def run() -> None:
        server = Server()
        connector = KmeConnector(keepalive_timeout=0.2)
        async with server.serve() as url, aiohttp.ClientSession(connector=connector) as session:
            await _together(session, server, url, AT_ONCE, AT_ONCE)
            server.ports.clear()
            async with asyncio.timeout(10 * PATIENCE):
                while sum(map(len, connector._conns.values())) > 1:
                    await _ask(session, url)
                    await asyncio.sleep(0.01)
            assert len(set(server.ports)) == 1

    asyncio.run(run())


def test_more_requests_than_connections_wait_and_are_answered() -> None:
    async def run() -> None:
        server = Server()
        async with server.serve() as url, aiohttp.ClientSession(connector=KmeConnector(limit=2)) as session:
            await _together(session, server, url, AT_ONCE, 2)
            assert server.asked == AT_ONCE
            assert len(set(server.ports)) == 2

    asyncio.run(run())


def test_a_tls_connection_takes_a_buffer_of_the_size_asked_for() -> None:
    before = sslproto.SSLProtocol.max_size
    keep_buffers_small()
    try:
        loop = asyncio.new_event_loop()
        protocol = sslproto.SSLProtocol(loop, asyncio.Protocol(), ssl.create_default_context(), loop.create_future())
        assert len(protocol.get_buffer(-1)) == BUFFER_BYTES
        loop.close()
    finally:
        sslproto.SSLProtocol.max_size = before
