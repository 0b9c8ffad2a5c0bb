"""The tunnel client's kept connections: used again, given up with the agent, never shared by two calls at once."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from controller.southbound.tunnel_client import TunnelClient, TunnelError


class Agent:
    """Answers every line; counts connections; ``hang_up`` closes them all, ``mute`` leaves calls unanswered."""

    def __init__(self, path: Path) -> None:
        self.accepted = 0
        self.mute = threading.Event()
        self.both_here = threading.Barrier(2, timeout=5)
        self.wait_for_two = False
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                if self.wait_for_two:
                    self.both_here.wait()
                if not self.mute.is_set():
                    connection.sendall(json.dumps({"id": json.loads(line)["id"], "ok": True}).encode() + b"\n")

    def hang_up(self) -> None:
        for connection in self._open:
            connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent"


def test_calls_one_after_the_other_share_a_connection(path: Path) -> None:
    agent, client = Agent(path), TunnelClient({"a": path})
    for _ in range(5):
        client.remove("a", "s/c")
    assert agent.accepted == 1
    agent.close()


def test_calls_at_once_have_a_connection_each(path: Path) -> None:
    agent, client = Agent(path), TunnelClient({"a": path})
    agent.wait_for_two = True  # neither is answered before both are there
    calls = [threading.Thread(target=client.remove, args=("a", f"s/{n}")) for n in range(2)]
    for call in calls:
        call.start()
    for call in calls:
        call.join(5)
    assert not any(call.is_alive() for call in calls)
    assert agent.accepted == 2
    agent.close()


def test_an_agent_that_has_been_restarted_is_found_by_the_next_call(path: Path) -> None:
    agent, client = Agent(path), TunnelClient({"a": path})
    client.remove("a", "s/c")
    agent.close()
    again = Agent(path)
    client.remove("a", "s/c")
    assert again.accepted == 1
    again.close()


def test_an_agent_that_is_gone_is_told(path: Path) -> None:
    agent, client = Agent(path), TunnelClient({"a": path})
    client.remove("a", "s/c")
    agent.close()
    with pytest.raises(TunnelError, match="agent at a"):
        client.remove("a", "s/c")


def test_a_late_answer_never_meets_the_next_call(path: Path) -> None:
    agent, client = Agent(path), TunnelClient({"a": path})
    client.remove("a", "s/c")
    agent.mute.set()
    with pytest.raises(TunnelError, match="timed out"):
        client.wait_up("a", "s/c", -0.9)  # a second more is given than the agent has
    agent.mute.clear()
    client.remove("a", "s/c")
    assert agent.accepted == 2
    agent.close()
