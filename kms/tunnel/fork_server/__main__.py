"""``python -m kms.tunnel.fork_server ROOM``: forks agents as it is told over the socket that is its standard input.

``ROOM`` is not looked at: its length is the room that there is for the arguments that agents show in its place.
"""

from __future__ import annotations

import os
import socket
import sys

from kms.tunnel.fork_server.server import ForkServer
from kms.tunnel.process import run_agent


def main() -> int:
    with socket.socket(fileno=0) as orders:
        ForkServer(orders, os.getppid(), run_agent).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
