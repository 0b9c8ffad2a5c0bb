"""The standard streams and signals as any caller leaves them: a pipe that nobody reads any more, no terminal."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import socket
import stat
import sys
from typing import IO, Any

INTERRUPTED = 130
"""Exit status of what Ctrl-C has ended, as shells have it."""


class _PatientFile(io.FileIO):
    """Goes on when the reader has left, and waits where the other end was set not to block."""

    def write(self, data: Any, /) -> int:
        while True:
            try:
                written = super().write(data)
            except BrokenPipeError:
                drop_output(self.fileno())
                return memoryview(data).nbytes
            if written is not None:  # None: it would block
                return written
            select.select([], [self.fileno()], [])


def take_standard_streams() -> None:
    """What is done does not hang on whether somebody still reads of it, and the exit status says what was done."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        old = getattr(sys, name)
        with contextlib.suppress(io.UnsupportedOperation):  # a test's
            if not isinstance(old, io.TextIOWrapper) or old.fileno() != number:
                continue
            raw = _PatientFile(number, "w", closefd=False)
            patient = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=old.encoding,
                errors="replace",
                line_buffering=raw.isatty() or number > 1,
            )
            old.flush()
            setattr(sys, name, patient)


def drop_output(descriptor: int = 1) -> None:
    """What is still written there is lost, and no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def notice_children() -> None:
    """Some callers ignore SIGCHLD, and we would be told of no child's exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def usual_signals() -> None:
    """For a program that takes this one's place: Python ignores these."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def has_commands(stream: IO[str] | None) -> bool:
    """Whether a shell would find something to read: a terminal, or a file, pipe or socket that is not at its end.

    A pipe whose writer has said nothing yet is waited for by whoever reads it. cron and systemd give none of these.
    """
    if stream is None:
        return False
    if stream.isatty():
        return True
    number = stream.fileno()
    found = os.fstat(number)
    if stat.S_ISREG(found.st_mode):
        return os.lseek(number, 0, os.SEEK_CUR) < found.st_size
    if stat.S_ISSOCK(found.st_mode):
        with socket.socket(fileno=os.dup(number)) as peer:
            try:
                return bool(peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except BlockingIOError:
                return True
            except OSError:
                return False
    if stat.S_ISFIFO(found.st_mode):
        poller = select.poll()
        poller.register(number, select.POLLIN)
        events = dict(poller.poll(0)).get(number, 0)
        return not events or bool(events & select.POLLIN)
    return False
