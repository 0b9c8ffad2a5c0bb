"""``python -m tests.support.forked_numbers``: a fork server whose forks say what numbers they draw.

Every generator has been used before the first fork, as libraries do that are imported.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import ssl
import sys
import uuid
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import x25519

from kms.tunnel.fork_server.server import ForkServer


def draw() -> dict[str, str]:
    """One number of each generator that an agent has, or might have."""
    return {
        "os": os.urandom(16).hex(),
        "OpenSSL of ssl": ssl.RAND_bytes(16).hex(),
        "OpenSSL of cryptography": x25519.X25519PrivateKey.generate().private_bytes_raw().hex(),
        "random": random.randbytes(16).hex(),
        "secrets": secrets.token_hex(16),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "numpy": np.random.bytes(16).hex(),  # the old global generator, which does not notice a fork
        "numpy's default": np.random.default_rng().bytes(16).hex(),
    }


def say(_: Path) -> int:
    print(json.dumps(draw()), flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    draw()
    ForkServer(socket.socket(fileno=0), os.getppid(), say).serve()
    sys.exit(0)
