"""What becomes of a fork before it is an agent: nothing that it shares with its siblings may show."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Collection

from kms.tunnel.fork_server.orders import AgentNotStarted, Order
from kms.tunnel.fork_server.title import set_title

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x4000_0000
_ADOPTION_TIMEOUT_S = 5.0
_ADOPTION_POLL_S = 0.0005
_LIBC = ctypes.CDLL(None, use_errno=True)


def become(order: Order, supervisor: int, keep: Collection[int]) -> None:
    """Be a process of its own in the order's namespace, child of ``supervisor``, with no descriptors but the log and
    ``keep``. Raises AgentNotStarted."""
    os.setsid()
    _be_adopted(supervisor)
    _enter(order.namespace)
    _let_go_of_descriptors(order.log, keep)
    # As if it had been started by itself: whoever looks for it by its arguments finds it.
    set_title(order.name, [sys.executable, "-m", "kms.tunnel", "--config", str(order.config)])
    _draw_other_numbers()


def _be_adopted(supervisor: int) -> None:
    """Wait until who made us has ended, and be told when the ``supervisor`` does."""
    deadline = time.monotonic() + _ADOPTION_TIMEOUT_S
    while os.getppid() != supervisor:
        if time.monotonic() > deadline:
            raise AgentNotStarted(f"process {supervisor}, the supervisor, has not become its parent")
        time.sleep(_ADOPTION_POLL_S)
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != supervisor:
        raise AgentNotStarted("the supervisor has ended")


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise AgentNotStarted(f"the host's network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")


def _let_go_of_descriptors(log: int, keep: Collection[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    first = 3
    for kept in sorted(keep):
        os.closerange(first, kept)
        first = kept + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _draw_other_numbers() -> None:
    """OpenSSL and :mod:`random` notice a fork by themselves; NumPy's old global generator does not."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
