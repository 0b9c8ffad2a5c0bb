"""The error of a network that cannot be built."""

from __future__ import annotations


class NetworkError(RuntimeError):
    """The network could not be built or changed; the message says which element refused."""
