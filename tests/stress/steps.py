"""Kills at a step: the n-th time that a KME comes to a numbered step of its work, it is killed there as by kill -9."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from kms.delivery.key_delivery import KeyService
from kms.distributed.escrow import Escrow
from kms.distributed.one_time_pads import Pads
from kms.distributed.peer_rpc import PeerClient
from kms.distributed.peer_transport import PeerTransport
from kms.persistence.sqlite_store import KeyStore

# A step: where, whether before or after it, and the step's name as it is reported.
STEPS: dict[str, tuple[type[Any], str, bool]] = {
    "relay: pad used up, nothing sent": (Pads, "take_to_send", True),
    "relay: message received, pad not used up": (Pads, "take_to_receive", False),
    "relay: message received, pad used up": (Pads, "take_to_receive", True),
    "agree: copies not in escrow yet": (Escrow, "put", False),
    "agree: copies in escrow, not answered": (Escrow, "put", True),
    "enc_keys: about to entrust": (PeerTransport, "entrust", False),
    "enc_keys: entrusted, not recorded": (PeerTransport, "entrust", True),
    "enc_keys: copies out of escrow, not on disk": (Escrow, "take", True),
    "enc_keys: on disk at the far end, not held": (KeyService, "accept", True),
    "enc_keys: about to answer": (KeyService, "enc_keys", True),
    "dec_keys: asked": (KeyService, "hand_over", False),
    "dec_keys: fetched, about to answer": (KeyService, "dec_keys", True),
    "any: before a transaction": (KeyStore, "apply", False),
    "any: after a transaction": (KeyStore, "apply", True),
    "any: before a call to another KME": (PeerClient, "call", False),
    "any: after a call to another KME": (PeerClient, "call", True),
}


def arm(step: str, count: int) -> None:
    """In the process that is to die: let it be killed when it comes to ``step`` for the ``count``-th time."""
    kind, name, is_after = STEPS[step]
    original = getattr(kind, name)
    left = count

    def reached() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(kind, name, _wrapped(original, is_after, reached))


def _wrapped(original: Callable[..., Any], is_after: bool, reached: Callable[[], None]) -> Callable[..., Any]:
    import inspect

    if inspect.iscoroutinefunction(original):

        async def waiting(*arguments: Any, **named: Any) -> Any:
            if not is_after:
                reached()
            result = await original(*arguments, **named)
            if is_after:
                reached()
            return result

        return waiting

    def direct(*arguments: Any, **named: Any) -> Any:
        if not is_after:
            reached()
        result = original(*arguments, **named)
        if is_after:
            reached()
        return result

    return direct
