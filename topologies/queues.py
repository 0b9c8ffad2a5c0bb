"""Settings of the whole machine's kernel that are other ones while a network is made or taken down.

Room in front of the switches: how many packets wait at a port while Open vSwitch is busy with others. In user space it
reads each port through an AF_PACKET socket, whose receive buffer is the machine's default when the port is added: 208
KiB, which some ninety packets of full size fill by the kernel's reckoning. One burst of a sender with segmentation
offload is half of that, and what does not fit is lost without a sign to the sender (``ss -0 -a -m`` in the switches'
namespace counts it: the d at the end of skmem).

Patience with them: whoever closes such a socket waits until no processor looks at it any more, some 20 ms, one port
after the other. The kernel can ask the processors instead, which takes it less than one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

QUEUE_BYTES = 2 << 20
"""About 900 packets, 11 ms at 1 Gbit/s: twenty bursts of the tunnel, of which hardly any is lost then."""

_DEFAULT = Path("/proc/sys/net/core/rmem_default")
_EXPEDITED = Path("/sys/kernel/rcu_expedited")


@contextmanager
def deep_queues(setting: Path = _DEFAULT, size_bytes: int = QUEUE_BYTES) -> Iterator[None]:
    """Sockets opened by anybody meanwhile may hold ``size_bytes``; a larger default stays, and it is put back.

    Where it cannot be changed (another network namespace than the first one, a container) the queues stay as they are,
    which costs throughput and nothing else.
    """
    with _at_least(setting, size_bytes, "queues at the switches' ports stay short"):
        yield


@contextmanager
def quick_closing(setting: Path = _EXPEDITED) -> Iterator[None]:
    """Sockets on interfaces are closed at once meanwhile. Where that cannot be had they are closed all the same."""
    with _at_least(setting, 1, "ports are removed slowly"):
        yield


@contextmanager
def _at_least(setting: Path, value: int, otherwise: str) -> Iterator[None]:
    try:
        before = int(setting.read_text())
        if before < value:
            setting.write_text(str(value))
    except OSError as error:
        logger.info("%s: %s: %s", otherwise, setting, error.strerror)
        yield
        return
    try:
        yield
    finally:
        if before < value:
            setting.write_text(str(before))
