"""The fork server: one thread, one order after the other. It knows no secret: agents read theirs after the fork."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from kms.tunnel.fork_server.child import become
from kms.tunnel.fork_server.orders import AgentNotStarted, Answer, Order, receive_order
from kms.tunnel.fork_server.resident_code import let_go_of_code

_EXIT_BUG = 1
_EXIT_ENVIRONMENT = 3


class ForkServer:
    """Forks processes that run ``main`` with the path of their configuration, and end with the status it returns.

    A fork's parent is not this process but ``supervisor``, the one that started it, which has to be willing to adopt
    (prctl(2), PR_SET_CHILD_SUBREAPER): it is told of the agent's end, and the agent of its, whatever becomes of us.
    """

    def __init__(self, connection: socket.socket, supervisor: int, main: Callable[[Path], int]) -> None:
        self._connection, self._supervisor, self._main = connection, supervisor, main

    def serve(self) -> None:
        """Until the supervisor closes its end."""
        gc.collect()
        gc.disable()
        gc.freeze()  # for ever in the forks: to go through it for garbage would copy it, page by page
        let_go_of_code()
        self._connection.send(Answer().encode())
        while (order := receive_order(self._connection)) is not None:
            try:
                answer = self._carry_out(order)
            finally:
                os.close(order.namespace)
                os.close(order.log)
            self._connection.send(answer)

    def _carry_out(self, order: Order) -> bytes:
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            return Answer(error=f"the fork server has {threads} threads: what they hold would stay held").encode()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            between = os.fork()
        except OSError as error:  # no memory, or too many processes
            os.close(reading)
            os.close(writing)
            return Answer(error=f"the system makes no process: {error.strerror}").encode()
        if between == 0:
            self._hand_over(order, writing)
        os.close(writing)
        os.waitpid(between, 0)
        with open(reading, "rb") as report:
            return report.read() or Answer(error="it ended before it had begun").encode()

    def _hand_over(self, order: Order, report: int) -> NoReturn:
        """Whose parent ends is adopted: the fork that becomes the agent is one's of a fork that ends at once."""
        try:
            if os.fork():
                os._exit(0)
            self._be(order, report)
        except BaseException:  # noqa: BLE001 - nothing may go back to where the server's own loop is
            traceback.print_exc()
        finally:
            os._exit(_EXIT_BUG)

    def _be(self, order: Order, report: int) -> NoReturn:
        try:
            become(order, self._supervisor, keep=[report])
        except AgentNotStarted as error:
            os.write(report, Answer(error=str(error)).encode())
            os._exit(_EXIT_ENVIRONMENT)
        os.write(report, Answer(pid=os.getpid()).encode())
        os.close(report)
        gc.enable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = self._main(order.config)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
