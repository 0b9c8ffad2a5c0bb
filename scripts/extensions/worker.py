"""The process in which an extension's code runs.

``python -m scripts.extensions.worker DESCRIPTOR KIND TARGET [FOLDER]``

It says first who it is, then answers one question after the other. What the code prints goes to standard error. It
ends when whoever started it does, and when it is killed for being late.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict
from typing import Any

from scripts.extensions.codec import Malformed, decode, encode
from scripts.extensions.errors import ExtensionError, Fault
from scripts.extensions.frames import Ended, receive, send
from scripts.extensions.loading import load
from scripts.extensions.naming import Use
from scripts.extensions.protocols import CONTRACTS, Contract, Kind

MOST_MEMORY = 4 << 30
LOOK_S = 0.5


def main(arguments: list[str]) -> int:
    descriptor, kind, target, *folder = arguments
    connection = socket.socket(fileno=int(descriptor))
    connection.settimeout(None)
    os.dup2(2, 1)  # a print of the extension's must not become an answer
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    use = Use(Kind(kind), target, folder[0] if folder else None)
    try:
        extension, identity = load(use)
    except ExtensionError as error:
        send(connection, _failure(error.fault, error.detail))
        return 1
    send(connection, {"ok": asdict(identity)})
    contract = CONTRACTS[use.kind]
    while True:
        try:
            question = receive(connection)
        except Ended:
            return 0
        send(connection, answer(extension, contract, question))


def answer(extension: Any, contract: Contract, question: Any) -> Any:
    """What the extension says to ``question``, or what it did instead."""
    method = contract.methods[question["call"]]
    given = [decode(kind, raw) for kind, raw in zip(method.takes, question["with"], strict=True)]
    try:
        said = getattr(extension, question["call"])(*given)
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt too
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
        if contract.is_secret:  # its words may be what must be in no log
            return _failure(Fault.RAISED, f"{type(error).__name__}{where}")
        traceback.print_exc()
        return _failure(Fault.RAISED, f"{type(error).__name__}: {error}{where}")
    try:
        kept = [encode(kind, value) for kind, value in zip(method.takes, given, strict=True)]
    except Malformed as error:
        return _failure(Fault.MUTATED, f"it changed what it was given: {error}")
    if kept != question["with"]:
        return _failure(Fault.MUTATED, "it changed what it was given")
    try:
        return {"ok": encode(method.gives, said, question["call"])}
    except Malformed as error:
        return _failure(Fault.MALFORMED, str(error))


def _failure(fault: Fault, detail: str) -> dict[str, str]:
    return {"fault": fault.value, "detail": detail[:500]}


def _end_with(parent: int) -> None:
    """Whatever the extension does meanwhile: without the process that asks, nobody waits for an answer."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
