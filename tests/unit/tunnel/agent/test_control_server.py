"""The agent's control socket where the system refuses: no descriptors, no memory, too many clients."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from kms.tunnel.agent.acceptor import Acceptor
from kms.tunnel.agent.agent_requests import AgentRequests
from kms.tunnel.agent.control_server import ControlServer
from scripts.testbed.paths import REPOSITORY
from tests.support.descriptors import without_descriptors
from tests.support.wait import PATIENCE

LIST = json.dumps({"id": 1, "op": "list"}).encode() + b"\n"


class Agent:
    """Answers from what is there, or finds that the system refuses."""

    error: OSError | None = None

    def list(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"connections": []}


async def ask(client: socket.socket) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, LIST)
    async with asyncio.timeout(10.0 * PATIENCE):
        answer: dict[str, Any] = json.loads(await loop.sock_recv(client, 65536))
    return answer


def client() -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.setblocking(False)
    return made


def test_fault_08_clients_that_come_while_no_descriptor_is_left_are_served_afterwards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        server = ControlServer(AgentRequests(Agent()), tmp_path / "sock")  # type: ignore[arg-type]
        await server.start()
        clients = [client() for _ in range(20)]
        with without_descriptors():
            for each in clients:
                each.connect(str(tmp_path / "sock"))
            await asyncio.sleep(0.5)  # nothing is decided by it: for as long as it takes, they wait
        for each in clients:
            assert (await ask(each))["ok"]
            each.close()
        await server.close()

    asyncio.run(work())
    # One line when it begins, one when it ends: not one, with a traceback, for each that waits.
    assert len(caplog.records) <= 4, [record.message for record in caplog.records][:8]


REFUSALS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EPROTO, errno.ECONNABORTED)


@pytest.mark.parametrize("number", REFUSALS, ids=lambda n: errno.errorcode[n])
def test_fault_08_no_refusal_of_the_system_ends_the_accepting(number: int, tmp_path: Path) -> None:
    class Listener(socket.socket):
        refusals = 5

        def accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError(number, os.strerror(number))
            return super().accept()

    async def work() -> None:
        listener = Listener(socket.AF_UNIX)
        listener.bind(str(tmp_path / "sock"))
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        acceptor = Acceptor(listener, accepted.put_nowait)
        acceptor.start()
        here = client()
        here.connect(str(tmp_path / "sock"))
        async with asyncio.timeout(10.0 * PATIENCE):
            (await accepted.get()).close()
        acceptor.close()
        here.close()

    asyncio.run(work())


def test_fault_08_a_request_that_the_system_refuses_is_answered(tmp_path: Path) -> None:
    async def work() -> None:
        agent = Agent()
        server = ControlServer(AgentRequests(agent), tmp_path / "sock")  # type: ignore[arg-type]
        await server.start()
        here = client()
        here.connect(str(tmp_path / "sock"))
        agent.error = OSError(errno.EMFILE, "Too many open files")
        refused = await ask(here)
        assert (refused["ok"], refused["error"]["type"]) == (False, "unavailable")
        agent.error = None
        assert (await ask(here))["ok"]
        here.close()
        await server.close()

    asyncio.run(work())


def test_fault_08_more_clients_than_there_is_room_for_are_turned_away_and_the_others_served(tmp_path: Path) -> None:
    async def work() -> None:
        server = ControlServer(AgentRequests(Agent()), tmp_path / "sock")  # type: ignore[arg-type]
        await server.start()
        first = client()
        first.connect(str(tmp_path / "sock"))
        assert (await ask(first))["ok"]
        crowd = [client() for _ in range(300)]
        for each in crowd:
            await asyncio.sleep(0)
            each.connect(str(tmp_path / "sock"))
        assert (await ask(first))["ok"]
        assert len(server._clients) <= 256
        for each in crowd:
            each.close()
        while len(server._clients) > 1:
            await asyncio.sleep(0.01)
        late = client()
        late.connect(str(tmp_path / "sock"))
        assert (await ask(late))["ok"]
        for each in (first, late):
            each.close()
        await server.close()

    asyncio.run(work())


def test_fault_08_the_agent_takes_as_many_descriptors_as_it_may_have() -> None:
    program = """
        import resource
        from kms.tunnel import __main__
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        __main__.main(["--config", "/nowhere"])
        print(resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))
    """
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=REPOSITORY, timeout=60 * PATIENCE)
    assert done.stdout.strip() == "True", done.stderr
