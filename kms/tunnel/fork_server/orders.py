"""What the fork server is told and what it answers: JSON over a socket that only its supervisor has the other end of.

One datagram each way (SOCK_SEQPACKET). With an order come two descriptors: the network namespace and the log.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

MAX_BYTES = 65536


class AgentNotStarted(Exception):
    """An agent has not come to be; the message says why."""


@dataclass(frozen=True)
class Order:
    """An agent that shall be; whoever has it closes the descriptors."""

    name: str
    """What the process is called."""
    config: Path
    namespace: int
    """Descriptor of the network namespace in which it shall work."""
    log: int
    """Descriptor to which it writes what it has to say."""


def send_order(connection: socket.socket, order: Order) -> None:
    """Raises OSError when nobody is there to take it."""
    text = json.dumps({"name": order.name, "config": str(order.config)}).encode()
    socket.send_fds(connection, [text], [order.namespace, order.log])


def receive_order(connection: socket.socket) -> Order | None:
    """The next order; None when the other end is gone."""
    text, descriptors, _, _ = socket.recv_fds(connection, MAX_BYTES, 2)
    if not text:
        return None
    raw = json.loads(text)
    namespace, log = descriptors
    return Order(raw["name"], Path(raw["config"]), namespace, log)


@dataclass(frozen=True)
class Answer:
    """``pid`` of an agent that has begun, or the ``error`` for which there is none. Both zero and empty: ready."""

    pid: int = 0
    error: str = ""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def decode_answer(text: bytes) -> Answer:
    """AgentNotStarted where there is no answer: whoever was to give it has ended."""
    if not text:
        raise AgentNotStarted("the fork server has ended")
    return Answer(**json.loads(text))
